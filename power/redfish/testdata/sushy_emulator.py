"""Runs sushy-tools' emulator with its fake driver, whose power follows at once
and not after up to 11 seconds: argv are those of sushy-emulator."""
import sys

from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems import fakedriver

fakedriver.random.randint = lambda least, most: 0
sys.exit(main.main())
