"""American spelling in code, tests, bundles and documentation."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = "monai_ssl", "tests", "docs", "bundles", "benchmarks", "tutorials", "studies"
ENDINGS = ".py", ".md", ".json", ".jinja"
BRITISH = """
behaviour colour favour honour neighbour tumour vapour labelled labelling modelled modelling cancelled cancelling
signalled centre centring centred millimetre fibre licence defence offence artefact judgement ageing catalogue grey
misspelt spelt learnt burnt whilst amongst analysed analysing realise vectoris normalis optimise optimisa optimisi
minimise minimisa minimising maximise maximisa initialis generalis recognis organise regularis standardis summaris
visualis serialis synchronis utilis characteris categoris discretis quantis randomis parallelis penalis prioritis
customis localise localisa emphasise stabilis memoris
"""
NAMES = '"licence"', '"labelled"', "self-labelling"
"""A key of the Decathlon's data lists, a former module, the title of a paper."""


def test_spelling_is_american():
    files = [path for tree in TREES for path in (ROOT / tree).rglob("*") if path.suffix in ENDINGS]
    files = [path for path in (*files, *ROOT.glob("*.md")) if path != Path(__file__)]
    assert len(files) > 500
    found = []
    for path in files:
        text = f"{path.relative_to(ROOT)}\n{path.read_text()}".lower()
        for name in NAMES:
            text = text.replace(name, "")
        found += [f"{path}: {word}" for word in BRITISH.split() if word in text]
    assert not found, "\n".join(found)
