# SPDX-License-Identifier: Apache-2.0
"""This terminal as a server's console: every key goes to the server, and Ctrl-A X leaves it."""

import os
import re
import select
import termios
import tty

LEAVE_KEY = b"\x01"  # Ctrl-A, then x
TYPED_MAX = 1024
ESCAPE_BEGUN = re.compile(rb"\x1b(\[[0-9;?]*)?\Z")  # the beginning of an escape sequence


class Terminal:
    """with Terminal() as terminal: raw until the end, if it is a terminal and not a pipe. `status_line` keeps the last
    row for status()."""

    def __init__(self, status_line: bool = False):
        self.is_screen = status_line and os.isatty(1)
        self._before = termios.tcgetattr(0) if os.isatty(0) else None
        self._leaving = False
        self._status = ""
        self._is_whole = True

    def __enter__(self):
        if self._before:
            tty.setraw(0)
        if self.is_screen:
            os.write(1, b"\r\n")  # the row above the status line
        return self

    def __exit__(self, *_):
        if self.is_screen:
            os.write(1, b"\x1b7\x1b[r\x1b[%d;1H\x1b[K\x1b8" % os.get_terminal_size(1).lines)
        if self._before:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        print()

    def show(self, data: bytes):
        os.write(1, data)
        if data:
            self._is_whole = not ESCAPE_BEGUN.search(data)
            self._draw()  # what it said may have cleared the screen

    def status(self, text: str):
        """On a terminal its last row; in a pipe a line whenever it changes."""
        if text == self._status:
            return
        self._status = text
        if self.is_screen:
            self._draw()
        else:
            os.write(1, f"{text}\n".encode())

    def _draw(self):
        """The rows above scroll by themselves. Not in the middle of an escape sequence of the console's."""
        if not self.is_screen or not self._is_whole:
            return
        columns, rows = os.get_terminal_size(1)
        text = f"{self._status[:columns]:{columns}}"
        os.write(1, f"\x1b7\x1b[1;{rows - 1}r\x1b[{rows};1H\x1b[7m{text}\x1b[0m\x1b8".encode())

    def typed(self, wait_s: float) -> bytes | None:
        """What was typed meanwhile; None: it was Ctrl-A X, or there is nobody any more."""
        if not select.select([0], [], [], wait_s)[0]:
            return b""
        typed = os.read(0, TYPED_MAX)
        if not typed or (self._leaving and typed[:1] in b"xX") or LEAVE_KEY + b"x" in typed.lower():
            return None
        if self._leaving:
            typed = LEAVE_KEY + typed
        self._leaving = typed.endswith(LEAVE_KEY)
        return typed[:-1] if self._leaving else typed
