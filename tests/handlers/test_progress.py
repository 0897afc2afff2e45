import io
import re

from ignite.engine import Events
from toy_training import batches, trainer

from monai_ssl.handlers import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, **kwargs):
    engine = trainer()
    Progress(stream=stream, **kwargs).attach(engine)
    engine.run(batches(6), max_epochs=3)
    return stream.getvalue()


def test_a_log_file_gets_one_line_an_epoch():
    lines = run(io.StringIO()).splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, 1):
        assert re.match(
            rf"epoch {epoch}/3  loss \S+  restoration \S+  drawn \S+  \S+ images/s  \d:\d\d:\d\d left$", line
        )


def test_the_line_shows_the_mean_of_the_epoch():
    stream, engine, seen = io.StringIO(), trainer(), []
    Progress(stream=stream).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(float(e.state.output["loss"])))
    engine.run(batches(6), max_epochs=1)
    assert float(stream.getvalue().split("loss ")[1].split()[0]) == float(f"{sum(seen) / 6:.4g}")


def test_a_terminal_gets_a_bar_with_all_of_it():
    text = run(Terminal(), seconds=0.0)
    last = text.split("\r")[-1]
    assert "18/18" in last and "images/s" in last and "restoration" in last and "epoch 3/3" in last
    assert "\nepoch" not in text


def test_images_are_counted_in_nested_batches():
    stream, engine = io.StringIO(), trainer()
    handler = Progress(stream=stream)
    handler.attach(engine)
    counted = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: counted.append(handler._images))
    engine.run([{"scan": ["a", "b"], **b} for b in batches(5, size=3)], max_epochs=1)
    assert counted == [15]
