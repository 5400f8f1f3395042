"""Images that are built: once for the same content, and nothing is left of one that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker as package
import pytest

from modelpress.api import Event, HostError, Log, UserError
from modelpress_plugins.docker.config import DockerOptions
from modelpress_plugins.docker.engine import Engine
from modelpress_plugins.docker.image import Images

FROM = "FROM localhost/modelpress-test:latest\n"


@pytest.fixture
def images(engine, tmp_path: Path) -> Callable[..., Images]:
    def make(**options: object) -> Images:
        return Images(
            Engine(engine.address), DockerOptions.parse({"build_context_path": str(tmp_path), **options})
        )

    (tmp_path / "Dockerfile").write_text(FROM + "ARG WORD=none\nENV WORD=$WORD\nCOPY a.txt /a.txt\n")
    (tmp_path / "a.txt").write_text("a")
    return make


def test_it_is_built_once_for_the_same_content(images, tmp_path: Path) -> None:
    told: list[Event] = []
    assert images().find() is None
    made = images().make(told.append)
    assert any(isinstance(event, Log) and "Building the image" in event.message for event in told)
    assert images().find() == made
    assert images(image_name="press:mine").find() == made
    digest = images().digest()
    (tmp_path / "a.txt").write_text("b")
    assert images().digest() != digest
    assert images().find() is None
    (tmp_path / "a.txt").write_text("a")
    assert images().digest() == digest
    assert images(build_args={"WORD": "x"}).digest() != digest
    (tmp_path / ".dockerignore").write_text("notes\n")
    (tmp_path / "notes").write_text("1")
    first = images().digest()
    (tmp_path / "notes").write_text("2")
    assert images().digest() == first


def test_a_dockerfile_alone_will_do_and_is_removed_when_asked(images, engine, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "Press.Dockerfile"
    alone.parent.mkdir()
    alone.write_text(FROM + "ENV A=1\n")
    own = images(build_context_path=str(alone), image_name="localhost/press:alone", clean_image=True)
    made = own.make(lambda event: None)
    client = package.DockerClient(engine.address)
    assert client.images.get("localhost/press:alone").id == made
    own.remove()
    assert own.find() is None


@pytest.mark.parametrize(
    ("dockerfile", "told"),
    [
        (FROM + 'RUN ["python3", "-c", "import sys; print(\'so it goes\'); sys.exit(3)"]\n', "so it goes"),
        (FROM + "COPY nothing /\n", "nothing"),
        ("FROM localhost/never-heard-of-it\n", "never-heard-of-it"),
        ("NONSENSE\n", "(?i)nonsense|no FROM"),
    ],
)
def test_one_that_fails_is_told_with_the_engines_words(
    images, engine, tmp_path: Path, dockerfile, told
) -> None:
    client = package.DockerClient(engine.address)
    before = {image.id for image in client.images.list(all=True)}
    (tmp_path / "Dockerfile").write_text(dockerfile)
    with pytest.raises(HostError, match=told):
        images().make(lambda event: None)
    assert client.containers.list(all=True) == []
    assert {image.id for image in client.images.list(all=True)} == before


def test_a_context_that_is_not_there_is_told(images, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="build_context_path is not there"):
        images(build_context_path=str(tmp_path / "none")).find()
    with pytest.raises(UserError, match=r"There is no press\.Dockerfile"):
        images(dockerfile="press.Dockerfile").find()
