"""Programs that break files, kill commands and race for locks: by hand, and by the tests of the same names.

They run from the root of the repository:

    python -m tests.torture.broken_inputs --kind bigWig --count 50 --seed 7
    python -m tests.torture.kills --command score --kills 30 --seed 7
    python -m tests.torture.lock_race --rounds 300
"""

import sys
from pathlib import Path

TESTS = Path(__file__).absolute().parents[1]
for _folder in (TESTS, TESTS.parent):  # the helpers of the tests and the project, also where pytest has not set them
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
