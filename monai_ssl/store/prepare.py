"""``prepare``: convert a tree of scans into a store, in parallel, resumable; bad files are reported."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_ssl.files import read_json, sweep, write_json
from monai_ssl.io.dicom.groups import read_headers
from monai_ssl.io.discovery import Findings, Source, survey
from monai_ssl.io.formats import FORMATS, TITLES, by_kind
from monai_ssl.io.patient_hints import Hint, describe, doubt
from monai_ssl.io.patient_rule import patient_rule
from monai_ssl.machine import bar_interval, cores
from monai_ssl.store.compressed import BLOSC2
from monai_ssl.store.content import same_content
from monai_ssl.store.conversion.convert import (
    Conversion,
    Converted,
    all_records,
    convert,
    file_signature,
    finished,
    is_complete,
    scan_key,
)
from monai_ssl.store.conversion.dask_pool import DaskPool
from monai_ssl.store.conversion.hashes import known_hashes, write_hashes
from monai_ssl.store.conversion.headers import headers_by
from monai_ssl.store.conversion.pool import KILLED, J, R, WorkerKilledError, WorkerPool
from monai_ssl.store.layout import (
    MANIFEST,
    PRIVATE,
    REPORT,
    SOURCES,
    create_store,
    locked,
    pseudonym,
    record_path,
    scan_folders,
    source_key,
    source_names,
    store_secret,
)
from monai_ssl.store.manifest import listed_keys
from monai_ssl.store.patients import basis_of, settled
from monai_ssl.store.prepare_options import PrepareOptions
from monai_ssl.store.records import write_manifest
from monai_ssl.store.remote.opening import local_folder
from monai_ssl.store.report import Report, mixed_modalities
from monai_ssl.store.selection import refusal

_PRELOADED = ["monai_ssl.store.conversion.convert", *sorted({entry.reader.rpartition(".")[0] for entry in FORMATS})]


def prepare(src: str | Path, store: str | Path, options: PrepareOptions | None = None) -> Report:
    """Prepare every scan below ``src`` into ``store``; what is there already is kept and not read again.

    A kill at any moment loses at most the scans under way; the next call completes the rest. Several machines share
    the work as workers of a Dask cluster, or as shards, whose scans the next call without ``shard`` takes up.

    Args:
        src: folder of files of any :data:`monai_ssl.io.formats.FORMATS` in any arrangement, or one file.
        store: folder to write; made if missing.
        options: how; the same for all that goes into one store.

    Raises:
        ValueError: when ``src`` holds no image, ``store`` was prepared with other options, is being prepared now, or
            is not empty and no store.
    """
    src, store, options = local_folder(src), local_folder(store), options or PrepareOptions()
    if options.backend == "dask":
        # its workers may have another working directory
        src, store = src.absolute(), store.absolute()
    _check_places(src, store)
    _check_options(store, options)
    rule = None if options.patients is None else patient_rule(options.patients)
    found = _outside(survey(src, rule, partial(headers_by, _pool(options, read_headers))), store)
    if not found.sources and not found.rejected:
        raise ValueError(f"{src} holds no image that can be read: give a folder with {TITLES} files.")
    create_store(store)
    with locked(store, shared=options.shard is not None):
        if options.shard is None:
            sweep(store, *scan_folders(store), store / PRIVATE)
        return _Preparation(src, store, options, found).run()


def _outside(found: Findings, store: Path) -> Findings:
    """Leave out a store inside the source: neither its arrays nor its sheet of pictures are scans."""
    own = store.resolve()

    def outside(path: Path) -> bool:
        # unlike `resolve`, bears links that lead to themselves
        return not Path(os.path.realpath(path)).is_relative_to(own)

    return Findings(
        [source for source in found.sources if outside(source.files[0])],
        [entry for entry in found.rejected if outside(entry[0])],
        [entry for entry in found.passed_over if outside(entry.path)],
    )


def _check_places(src: Path, store: Path) -> None:
    if not src.exists():
        raise ValueError(f"There is no folder {src}: check the path of the scans.")
    if src.resolve() == store.resolve():
        raise ValueError(f"{store} is the source itself: name another folder for the store.")
    if store.exists() and not store.is_dir():
        raise ValueError(f"{store} is a file: name a folder for the store.")
    if store.exists() and not (store / PRIVATE).exists() and any(store.iterdir()):
        raise ValueError(f"{store} is not empty and not a store: name a new folder, so that nothing is mixed up.")


def _check_options(store: Path, options: PrepareOptions) -> None:
    wanted = options.identity()
    try:
        there = read_json(store / MANIFEST, {}).get("options")
    except (ValueError, AttributeError):
        # damaged: written anew from the records of the scans
        return
    if isinstance(there, dict) and there != wanted:
        differing = ", ".join(f"{k}={there.get(k)} (now {v})" for k, v in wanted.items() if there.get(k) != v)
        raise ValueError(f"{store} was prepared with {differing}: use another folder for other options.")


class _Preparation:
    """One run: what is known so far, and what is written when."""

    def __init__(self, src: Path, store: Path, options: PrepareOptions, found: Findings) -> None:
        self.store, self.options = store, options
        part, parts = options.shard or (1, 1)
        self.sources = found.sources[part - 1 :: parts]
        self.secret = store_secret(store)
        self.hashes = known_hashes(store)
        self.names: dict[str, list[Source]] = {}
        self.records = all_records(store)
        self.listed = listed_keys(store)
        self.report = Report(store)
        self.counted: set[Path] = set()
        base = src if src.is_dir() else src.parent
        for path, reason, count in [(*entry, 1) for entry in found.rejected] + found.passed_over:
            self.report.left_out.append((path.relative_to(base).as_posix(), reason))
            self.report.files["left out"] += count
        self.folders = Counter(str(Path(source.name).parent) for source in found.sources)

    def run(self) -> Report:
        pool = _pool(self.options, convert)
        if self.options.shard is None or self.listed is None:
            # from the start, so that the options bind a run that is interrupted
            self._write_manifest(self.records if self.listed is None else self.listed & self.records.keys())
        with tqdm(total=len(self.sources), unit="scan", desc="prepare", mininterval=bar_interval()) as self.bar:
            for conversion, result in pool.run(self._conversions()):
                converted = Converted(reason=KILLED) if isinstance(result, WorkerKilledError) else result
                self._take(conversion.source, converted)
        if self.options.shard is not None:
            write_hashes(self.store, self.hashes, self.options.shard)
            return self._counted()
        self._settle()
        return self._finish()

    def _write_manifest(self, keys: Iterable[str]) -> None:
        write_manifest(self.store, self.options.identity(), [self.records[key] for key in keys])

    def _conversions(self) -> Iterator[Conversion]:
        """Yield what needs a worker; the rest is settled here."""
        for source in self.sources:
            reason = refusal(source.name, self.options.include, self.options.exclude)
            if reason:
                self.report.left_out.append((source.name, reason))
                self._count("left out", source)
                self.bar.update()
                continue
            content = self.hashes.get(file_signature(source))
            done = finished(self.store, scan_key(str(content), self.options.identity())) if content else []
            if is_complete(done):
                self._take(source, Converted(content, done, already=True))
                continue
            alone = self.folders[str(Path(source.name).parent)] == 1 or by_kind(source.kind).is_picture
            refuse_labels = not alone and not self.options.include
            compression = BLOSC2 if self.options.compress else None
            yield Conversion(source, self.store, self.options.identity(), refuse_labels, compression)

    def _take(self, source: Source, converted: Converted) -> None:
        self.bar.update()
        if converted.content is not None:
            self.hashes[file_signature(source)] = converted.content
        if converted.reason is not None:
            is_label = "label map" in converted.reason
            (self.report.left_out if is_label else self.report.failed).append((source.name, converted.reason))
            self._count("left out" if is_label else "FAILED", source)
            return
        key = converted.records[0]["key"]
        others = self.names.setdefault(key, [])
        others.append(source)
        repeated = len(others) > 1
        self._count("same content twice" if repeated else "already there" if converted.already else "prepared", source)
        if repeated:
            return
        if converted.already:
            self.report.already += len(converted.records)
            self.records.update({record["key"]: record for record in converted.records})
            return
        # the first part last: it stands for all
        for record in reversed(converted.records):
            before = self.records.get(record["key"], {"patient": self._pseudonym(source.patient_hint)})
            record.update(patient=before["patient"], patient_from=before.get("patient_from", basis_of(source)))
            self._write(record)
            self.report.prepared.append(record["key"])
            self.report.notes += [(record["key"], note) for note in record["notes"]]

    def _count(self, fate: str, source: Source) -> None:
        """Count files; one that belongs to two sources, as data under two headers, counts for the first."""
        new = set(source.files) - self.counted
        self.counted |= new
        self.report.files[fate] += len(new)

    def _settle(self) -> None:
        """Decide what needs all sources: duplicates, whose names do not depend on the order of work, and patients."""
        for sources in self.names.values():
            first, *others = sorted(sources, key=lambda source: source.name)
            self.report.duplicates += [(other.name, first.name) for other in others]
        self._name_patients_of_duplicates()
        for record in settled(self.records, self.names, self._pseudonym):
            self._write(record)
        # workers end in any order
        taken = sorted((s for sources in self.names.values() for s in sources), key=lambda source: source.name)
        hints = [Hint(source.patient_hint, source.patient_basis) for source in taken]
        self.report.patients_found = describe(hints, [source.name for source in taken]) if taken else []
        self.report.warnings += [text for text in [doubt(hints)] if text]
        for group in same_content((r["key"], r.get("content", "")) for r in self.records.values()):
            self.report.warnings.append(f"scans with the same voxels: {self._sources_of(group)}")

    def _name_patients_of_duplicates(self) -> None:
        """Let the first by name tell the patient of new scans, whichever of several sources was converted first."""
        for key, sources in self.names.items():
            if len(sources) == 1 or key in (self.listed or ()):
                continue
            first = min(sources, key=lambda source: source.name)
            told = {"patient": self._pseudonym(first.patient_hint), "patient_from": basis_of(first)}
            for record in finished(self.store, source_key(key)):
                self._write(record | told)

    def _sources_of(self, scans: Sequence[str]) -> str:
        known = source_names(self.store)
        now = {key: [source.name for source in sources] for key, sources in self.names.items()}
        keys = [key if key in now or key in known else f"{source_key(key)}-0" for key in scans]
        return ", ".join((now.get(key) or known.get(key) or [key])[0] for key in keys)

    def _write(self, record: dict[str, Any]) -> None:
        write_json(record_path(self.store, record), record)
        self.records[record["key"]] = record

    def _pseudonym(self, name: str) -> str:
        # the same for a PatientID and a folder of that name: pictures beside a series are the same patient's
        return pseudonym(self.secret, name)

    def _finish(self) -> Report:
        report = self._counted()
        self._write_manifest(self.records)
        names = {key: sorted(source.name for source in sources) for key, sources in self.names.items()}
        known = source_names(self.store) | names
        write_json(self.store / PRIVATE / SOURCES, dict(sorted(known.items())), mode=0o600)
        write_hashes(self.store, self.hashes)
        write_json(self.store / PRIVATE / REPORT, report.to_dict(), mode=0o600)
        return report

    def _counted(self) -> Report:
        """Return the report with what is counted at the end, sorted."""
        records, report = list(self.records.values()), self.report
        report.prepared.sort()
        for entries in (report.duplicates, report.left_out, report.failed, report.notes):
            entries.sort()
        report.scans = len(records)
        report.patients = len({record["patient"] for record in records})
        how = {"option": "as you said", "file": "says the file", "values": "judged by the values"}
        report.modalities = dict(Counter(f"{r['modality']}, {how[r['modality_from']]}" for r in records))
        report.warnings += mixed_modalities(records)
        if report.patients == 1 and report.scans > 3:
            report.warnings.append(
                f"all {report.scans} scans seem to be of one patient; if not, put each patient into a folder of its own"
            )
        return report


def _pool(options: PrepareOptions, function: Callable[[J], R]) -> WorkerPool[J, R] | DaskPool[J, R]:
    if options.backend == "dask":
        return DaskPool(function)
    workers = options.workers if options.workers is not None else min(8, cores())
    return WorkerPool(function, workers, _PRELOADED)


__all__ = ["PrepareOptions", "prepare"]
