"""Lets the tests import the benchmarks, which are no installed package."""

import sys

from source_tree import ROOT

sys.path.append(str(ROOT))
