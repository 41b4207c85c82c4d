import contextlib
import threading
import urllib.request

from dfm_flax.viewer import serving


def test_a_page_is_served_on_loopback_alone(tmp_path):
    page = tmp_path / "a.html"
    page.write_text("<p>a machine, draw\u00ef</p>", encoding="utf-8")
    with serving.page_server(page) as server:
        assert server.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        proxies = urllib.request.ProxyHandler({})
        address = f"http://127.0.0.1:{server.server_port}/any"
        with urllib.request.build_opener(proxies).open(address) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert answer.read() == page.read_bytes()
        server.shutdown()
        thread.join()


def test_opening_serves_until_it_is_interrupted(tmp_path, monkeypatch, capsys):
    page = tmp_path / "a.html"
    page.write_text("a")
    opened = []
    monkeypatch.setattr(serving.webbrowser, "open", opened.append)

    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.http.server.HTTPServer, "serve_forever", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        serving.open_page(page)
    (address,) = opened
    assert capsys.readouterr().out == f"{address} until Ctrl-C\n"
