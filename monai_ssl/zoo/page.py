"""README of a packed bundle with the headings of MONAI's model zoo: data, training, input, output, performance, ..."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MEMORY = """GPU memory of a step with the defaults (mixed precision), counted from shapes, not measured: a GPU should
have a quarter more. `python -m monai_ssl plan STORE --bundle NAME` counts your settings and says what
to lower first.

"""


def zoo_page(page: str, metadata: Mapping[str, Any], memory: Sequence[str] = ()) -> str:
    """Return the page of a bundle with the sections of the zoo that it has not got, filled from its metadata.

    Args:
        page: the README as it stands in ``bundles``.
        metadata: in full, see :func:`monai_ssl.zoo.contents.metadata_of`.
        memory: of a step of its training, see :func:`monai_ssl.zoo.resources.memory_lines`; empty where not counted.

    >>> facts = {"eval_metrics": {"probe": 0.8}, "network_data_format": {"inputs": {}, "outputs": {}}}
    >>> page = zoo_page("# SimCLR", {**facts, "data_source": "own scans", "data_type": "nifti"})
    >>> [line for line in page.splitlines() if "Performance" in line or "probe" in line]
    ['## Performance', '- probe: 0.8']
    """
    present = {heading.lower() for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    added = [f"## {title}\n{text}" for title, text in _sections(metadata, memory) if title.lower() not in present]
    return "\n\n".join([page.rstrip(), *added]) + "\n"


def _sections(metadata: Mapping[str, Any], memory: Sequence[str]) -> Iterator[tuple[str, str]]:
    formats = metadata["network_data_format"]
    yield "Data", f"{metadata['data_source']}; formats: {metadata['data_type']}."
    if memory:
        yield "Training configuration", _MEMORY + "\n".join(memory)
    yield "Input", _shapes(formats["inputs"])
    yield "Output", _shapes(formats["outputs"])
    scores = [f"- {name}: {value}" for name, value in metadata["eval_metrics"].items()]
    yield "Performance", "\n".join(scores) or "Not measured for this release of the bundle: no weights come with it."
    yield "MONAI Bundle Commands", "They stand above; `python -m monai.bundle run --help` explains their form."
    references = "\n".join(f"{i}. {text}" for i, text in enumerate(metadata.get("references", []), 1))
    yield "References", references or "Named above, where there are any."
    yield "License", "Apache-2.0, see `LICENSE`; that of the data is in `docs/data_license.txt`."


def _shapes(tensors: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(
        f"- `{name}`: {tensor['type']} ({tensor['format']}), {tensor['num_channels']} channels, "
        f"{' x '.join(map(str, tensor['spatial_shape'])) or 'no'} spatial shape, {tensor['dtype']}"
        for name, tensor in tensors.items()
    )


__all__ = ["zoo_page"]
