#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The checkers must find what they are for: small trees with one breach each."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_headers  # noqa: E402
import check_layers  # noqa: E402


def layers(files):
    """Breaches in a tree of {name: text}."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return list(check_layers.breaches(root))


class Layers(unittest.TestCase):
    def test_good(self):
        files = {
            "include/bits.h": "#include <stdint.h>\n",
            "kernel/pci.h": '#include "include/bits.h"\n',
            "drivers/net.c": '#include "kernel/pci.h"\n# include "drivers/net.h"\n',
            "drivers/net.h": "",
            "machine/pit.c": '#include <string.h>\n#include "include/bits.h"\n',
            "machine/pit.h": "",
            "kernel/main.c": '#include "machine/pit.h"\n',
            "kernel/svm/run.c": '#include "kernel/svm/svm.h"\n',
            "kernel/svm/svm.h": "",
        }
        self.assertEqual(layers(files), [])

    def test_upwards(self):
        files = {"machine/pit.c": '\n#include "kernel/time.h"\n', "kernel/time.h": ""}
        self.assertEqual(layers(files), ["machine/pit.c:2: machine/ may not include kernel/time.h"])

    def test_kernel_internals(self):
        files = {"drivers/nvme.c": '#include "kernel/paging.h"\n', "kernel/paging.h": ""}
        self.assertEqual(layers(files), ["drivers/nvme.c:1: drivers/ may not include kernel/paging.h"])

    def test_only_main_wires(self):
        files = {"kernel/loop.c": '#include "machine/pit.h"\n', "machine/pit.h": ""}
        self.assertEqual(layers(files), ["kernel/loop.c:1: kernel/ may not include machine/pit.h"])

    def test_tests(self):
        files = {"manage/text.c": '#include "tests/unit/host/time.h"\n', "tests/unit/host/time.h": ""}
        self.assertEqual(layers(files), ['manage/text.c:1: "tests/unit/host/time.h" is not named from the root of the '
                                         'repository'])

    def test_short_name(self):
        files = {"manage/text.c": '#include "text.h"\n', "manage/text.h": ""}
        self.assertEqual(layers(files), ['manage/text.c:1: "text.h" is not named from the root of the repository'])

    def test_way_round(self):
        files = {"manage/text.c": '#include "manage/../kernel/time.h"\n', "kernel/time.h": ""}
        self.assertEqual(len(layers(files)), 1)

    def test_missing(self):
        self.assertEqual(layers({"manage/text.c": '#include "manage/gone.h"\n'}),
                         ["manage/text.c:1: manage/gone.h does not exist"])

    def test_operating_system(self):
        self.assertEqual(layers({"lockstep/log.c": "#include <stdlib.h>\n"}),
                         ["lockstep/log.c:1: <stdlib.h> is not freestanding"])
        self.assertEqual(layers({"tools/witness.c": "#include <stdlib.h>\n"}), [])

    def test_vendor(self):
        files = {"kernel/vcpu.c": '#include "kernel/svm/svm.h"\n', "kernel/svm/svm.h": ""}
        self.assertEqual(layers(files), ["kernel/vcpu.c:1: kernel/svm/svm.h is for kernel/svm/ alone"])

    def test_circle(self):
        files = {
            "nic/a.h": '#include "nic/b.h"\n',
            "nic/b.h": '#include "nic/c.h"\n',
            "nic/c.h": '#include "nic/a.h"\n',
            "nic/d.h": '#include "nic/a.h"\n',
        }
        self.assertEqual(layers(files), ["nic/a.h:1: headers in a circle: nic/a.h -> nic/b.h -> nic/c.h -> nic/a.h"])


GOOD = "/* SPDX-License-Identifier: Apache-2.0 */\n/* A thing. */\n#ifndef NIC_A_H\n#define NIC_A_H\nint a;\n#endif\n"


class Headers(unittest.TestCase):
    def found(self, text, name="nic/a.h"):
        return list(check_headers.breaches(name, text))

    def test_good(self):
        self.assertEqual(self.found(GOOD), [])
        self.assertEqual(self.found("/* SPDX-License-Identifier: Apache-2.0 */\nint a;\n", "nic/a.c"), [])

    def test_licence(self):
        self.assertEqual(len(self.found(GOOD[1:])), 1)
        self.assertEqual(len(self.found("int a;\n", "nic/a.c")), 1)

    def test_guard(self):
        self.assertEqual(self.found(GOOD.replace("ifndef NIC_A_H", "ifndef A_H")),
                         ["nic/a.h:3: found #ifndef A_H, not the include guard's #ifndef NIC_A_H"])
        self.assertEqual(len(self.found(GOOD.replace("NIC_A_H", "NIC_B_H"))), 2)
        self.assertEqual(len(self.found(GOOD + "int b;\n")), 1)
        self.assertEqual(len(self.found("/* SPDX-License-Identifier: Apache-2.0 */\nint a;\n")), 1)


if __name__ == "__main__":
    unittest.main()
