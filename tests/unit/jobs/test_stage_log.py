"""What a script of the workflow prints, in its log and on the terminal."""

import subprocess
import sys


def run(tmp_path, body):
    code = f"from nrw.jobs.stage_log import stage_log\nwith stage_log({str(tmp_path / 'logs' / 'a.log')!r}):\n" + body
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_all_output_goes_to_the_log_and_our_messages_to_the_terminal_too(tmp_path):
    ended = run(
        tmp_path,
        "    import logging, os\n    logging.getLogger('nrw.x').info('hello')\n"
        "    print('printed')\n    os.system('echo from C')\n",
    )
    log = (tmp_path / "logs" / "a.log").read_text()
    assert ended.returncode == 0
    assert "hello" in ended.stderr and "printed" not in ended.stderr + ended.stdout
    assert "hello" in log and "printed" in log and "from C" in log


def test_a_user_error_ends_with_its_message_and_no_traceback(tmp_path):
    ended = run(tmp_path, "    from nrw.core.errors import UserError\n    raise UserError('no photos in /x')\n")
    assert ended.returncode == 1
    assert "Error: no photos in /x" in ended.stderr and "a.log" in ended.stderr
    assert "Traceback" not in ended.stderr + (tmp_path / "logs" / "a.log").read_text()


def test_a_defect_keeps_its_traceback(tmp_path):
    ended = run(tmp_path, "    1 / 0\n")
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr and "Traceback" in (tmp_path / "logs" / "a.log").read_text()
