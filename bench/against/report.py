# SPDX-License-Identifier: Apache-2.0
"""Markdown of a result; with --write into docs/performance.md between its markers, and docs/performance.svg.

    python -m bench.against.report bench/results/FILE.json [--write] [--picture OTHER.json]
"""

import argparse
import pathlib
import sys

from bench.against.chart import svg
from bench.against.machine import ROOT
from bench.against.result import BadResult, read
from bench.against.tables import document

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def filled(page, words):
    """The page with everything between its two markers replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise BadResult(f"page: no place for the tables (expected one {BEGIN} before one {END}). Fix: put them where the tables belong")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{words}\n{END}{rest.split(END)[1]}"


def name_of(path):
    path = path.resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name


def write_documents(result, docs, source, pictured=None, pictured_source=None):
    page = docs / "performance.md"
    about_picture = f"; the picture above from `{pictured_source}`" if pictured else ""
    words = f"From `{source}`{about_picture}.\n\n{document(result)}"
    picture = svg(pictured or result)
    if picture is None:
        raise BadResult(f"{pictured_source or source}: no step was measured. Fix: measure more than {', '.join(sorted({run['peer'] for run in (pictured or result)['runs']})) or 'nothing'}")
    page.write_text(filled(page.read_text(), words))
    (docs / "performance.svg").write_text(picture)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.against.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("--write", action="store_true", help="fill docs/performance.md and draw docs/performance.svg")
    parser.add_argument("--picture", type=pathlib.Path, help="draw docs/performance.svg from this result instead")
    parser.add_argument("--docs", type=pathlib.Path, default=ROOT / "docs", help="folder of performance.md (default: docs)")
    options = parser.parse_args(arguments)
    try:
        result = read(options.result)
        if options.write:
            others = (read(options.picture), name_of(options.picture)) if options.picture else ()
            write_documents(result, options.docs, name_of(options.result), *others)
        else:
            print(document(result))
    except (BadResult, OSError) as error:
        sys.exit(f"bench.against.report: error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
