"""Follows a reset that the emulator does as a task: URL, user, password."""
import sys

import sushy
from sushy import auth, taskmonitor

url, user, password = sys.argv[1:]
login = auth.SessionAuth(user, password)
conn = sushy.Sushy(url, auth=login)
system = conn.get_system_collection().get_members()[0]
assert not conn.get_task_service().tasks.get_members()
answer = conn._conn.post(system.path + "/Actions/ComputerSystem.Reset", data={"ResetType": "On"})
assert answer.status_code == 202, answer
monitor = taskmonitor.TaskMonitor.from_response(conn._conn, answer, system.path)
assert monitor.is_processing, monitor
monitor.wait(20)
task = conn.get_task_service().tasks.get_members()[0]
assert task.task_state == sushy.TASK_STATE_COMPLETED, task.task_state
system.refresh()
assert system.power_state == sushy.PowerState.ON, system.power_state
login.close()
