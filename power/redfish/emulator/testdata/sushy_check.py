"""Drives the emulator with sushy: URL, user, password, kind of authentication."""
import sys

import sushy
from sushy import auth

url, user, password, kind = sys.argv[1:]
login = {"session": auth.SessionAuth, "basic": auth.BasicAuth}[kind](user, password)
conn = sushy.Sushy(url, auth=login)
members = conn.get_system_collection().get_members()
assert len(members) == 1, members
system = members[0]
assert system.power_state == sushy.PowerState.OFF, system.power_state
assert system.uuid == "6f4be2f6-0f37-4be6-9bd8-7a3f7c3e0a01", system.uuid
assert system.serial_number == "S1", system.serial_number
assert system.memory_summary.size_gib == 2, system.memory_summary
assert sushy.BootSource.PXE in system.get_allowed_system_boot_source_values()
assert sushy.ResetType.FORCE_OFF in system.get_allowed_reset_system_values()
macs = [i.mac_address.lower() for i in system.ethernet_interfaces.get_members()]
assert macs == ["52:54:00:00:00:01"], macs
assert system.managers[0].manager_type == sushy.ManagerType.BMC
assert system.chassis[0].serial_number == "S1"

system.set_system_boot_options(
    target=sushy.BootSource.PXE,
    enabled=sushy.BootSourceOverrideEnabled.ONCE,
    mode=sushy.BootSourceOverrideMode.UEFI,
)
system.refresh()
assert system.boot.target == sushy.BootSource.PXE, system.boot
assert system.boot.enabled == sushy.BootSourceOverrideEnabled.ONCE, system.boot
system.reset_system(sushy.ResetType.ON)
system.refresh()
assert system.power_state == sushy.PowerState.ON, system.power_state
assert system.boot.enabled == sushy.BootSourceOverrideEnabled.DISABLED, "the override was not used up"
try:
    system.set_system_boot_options(mode=sushy.BootSourceOverrideMode.LEGACY, target=sushy.BootSource.PXE)
except sushy.exceptions.BadRequestError as refused:
    assert "acceptable values" in str(refused), refused
else:
    raise AssertionError("a mode that the machine has not was accepted")
drives = system.managers[0].virtual_media.get_members()
cd = [d for d in drives if "CD" in (d.media_types and [str(getattr(t, "value", t)) for t in d.media_types])][0]
assert not cd.inserted, cd
cd.insert_media("http://10.20.0.1/media/boot.iso")
cd.refresh()
assert cd.inserted and cd.image == "http://10.20.0.1/media/boot.iso", cd.image
assert cd.image_name == "boot.iso", cd.image_name
cd.eject_media()
cd.refresh()
assert not cd.inserted and not cd.image, cd.image
system.reset_system(sushy.ResetType.FORCE_OFF)
system.refresh()
assert system.power_state == sushy.PowerState.OFF, system.power_state
if kind == "session":
    login.close()
