"""Deep Fourier Machines in Flax: images as compositions of low-frequency Fourier series.

    import dfm_flax as dfm

    coded = dfm.encode("photo.jpg", bpp=0.3)
    coded.save("photo.dfm")
    enlarged = dfm.decode("photo.dfm", scale=2)

    config = dfm.load_config("digits")
    dfm.override(config, ["training.num_steps=2000"])
    dfm.train(config, "runs/digits")
    generator = dfm.load_generator("runs/digits")
    samples = generator.sample(64, prior="gmm", size=(32, 32))
    way = generator.interpolate(0, 9, num=10)
    reconstructions = generator.reconstruct(generator.images[:8] / 255)
    (result,) = dfm.evaluate("runs/digits", num=500)

Modules of Flax:
    FourierLayer                    one layer R^m -> R^n, a Fourier series
    FourierMachine                  layers one after the other: positions to colors
    Decoder                         latents to machines, each of which draws an image
    Encoder                         images to latents
    Siren                           the usual network of sines, to compare with

Functions of arrays:
    num_weights                     how many weights a machine has
    fourier_series, additive_fourier_series         a layer as a plain function
    render                          a machine as an image of any size
    distortion                      mse, psnr, ssim and ms_ssim of two images
    percent_of_raw_size             the thesis's rule of size

Images, float32 [H, W, C] in [0, 1]:
    read_image, prepare, write_image                any file that Pillow reads, 16 bits kept
    encode                          an image, or the file of one, to the bytes of a .dfm file
    decode                          a .dfm file to an image, at any size, or a part of it

Whole runs, as the `dfm` command does them:
    load_config, override           a config by its name or file, settings changed as KEY=VALUE
    train                           trains in a folder, or goes on there
    load_generator                  a trained generator: sample, interpolate, reconstruct
    evaluate                        how good trained generators are
    DfmError, UsageError            what goes wrong, in one line
    __version__                     of this package

The parts of training, to build other tasks from, are in `dfm_flax.training`. Nothing is
imported before it is used: see `__init__.pyi`, which lists where each name lives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
