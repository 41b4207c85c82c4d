"""Deep Fourier Machines in Flax: images as compositions of low-frequency Fourier series.

    import dfm_flax as dfm

Machines, to use like any Flax module:
    FourierMachine, FourierLayer    positions to colors, and one layer R^m -> R^n
    num_weights                     how many weights a machine has
    fourier_series, additive_fourier_series         a layer as a plain function
    Siren                           the usual network of sines, to compare with

Images, float32 [H, W, C] in [0, 1]:
    read_image, prepare, write_image                any file that Pillow reads, 16 bits kept
    render                          a machine as an image of any size
    distortion                      mse, psnr, ssim and ms_ssim of two images
    percent_of_raw_size             the thesis's rule of size

Whole runs, as the `dfm` command does them:
    load_config, override           a config file, and settings changed as KEY=VALUE
    train                           train(config, workdir)
    DfmError, UsageError            what goes wrong, in one line

The parts of training, to build other tasks from, are in `dfm_flax.training`. Nothing is
imported before it is used: see `__init__.pyi`, which lists where each name lives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
