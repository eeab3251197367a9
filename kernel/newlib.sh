#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compiles what the hypervisor needs of Newlib (string, ctype, strto*, integer
# formatting) with the hypervisor's own flags: no SSE, no red zone, kernel code
# model. The whole library cannot be built so (its floating point needs SSE), so
# the files are compiled one by one. memcpy and memmove are kernel/memory_copy.c's.
# usage: newlib.sh TARBALL OUTPUT_DIRECTORY; environment: CC, KERNEL_FLAGS
set -eu
tarball=$1
out=$2

if [ ! -f "$tarball" ]; then
	echo "newlib: no tarball under /usr/src/newlib: install the package newlib-source" >&2
	exit 1
fi
rm -rf "$out"
mkdir -p "$out/source" "$out/include" "$out/objects"
tar -xf "$tarball" -C "$out/source" --strip-components=1
libc=$out/source/newlib/libc

cp -r "$libc/include/." "$out/include/"
# What Newlib's configure would write: no multibyte text, no long double formatting.
cat > "$out/include/newlib.h" <<-'END'
	#ifndef YOKE_NEWLIB_H
	#define YOKE_NEWLIB_H
	#define _WANT_IO_C99_FORMATS 1
	#define _WANT_IO_LONG_LONG 1
	#define _NEWLIB_VERSION "3.3.0"
	#endif
END
cp "$out/include/newlib.h" "$out/include/_newlib_version.h"

# -fno-builtin and no loop patterns: memset must not be compiled into a call of itself.
flags="-O2 $KERNEL_FLAGS -fno-builtin -fno-tree-loop-distribute-patterns -w -nostdinc
	-isystem $($CC -print-file-name=include) -I$out/include -I$libc/stdio -I$libc/string -I$libc/stdlib -I$libc/locale
	-D__NO_SYSCALLS__ -D_LIBC"

compile() { # object name, source, further flags
	$CC $flags ${3:-} -c -o "$out/objects/$1.o" "$2"
}

for name in memchr memcmp memset memmem memrchr strcat strchr strchrnul strcmp strcpy strcspn strlcat strlcpy \
	strlen strncat strncmp strncpy strnlen strpbrk strrchr strspn strstr strcasecmp strncasecmp strsep strtok_r; do
	compile "$name" "$libc/string/$name.c"
done
for name in ctype_ isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit tolower toupper; do
	[ -f "$libc/ctype/$name.c" ] && compile "$name" "$libc/ctype/$name.c"
done
for name in strtol strtoul strtoll strtoull; do
	compile "$name" "$libc/stdlib/$name.c"
done
compile qsort "$libc/search/qsort.c"
compile bsearch "$libc/search/bsearch.c"
compile svfiprintf "$libc/stdio/vfprintf.c" "-DINTEGER_ONLY -DSTRING_ONLY"
for name in vsniprintf sniprintf; do
	compile "$name" "$libc/stdio/$name.c"
done
compile locale "$libc/locale/locale.c"
compile mbtowc_r "$libc/stdlib/mbtowc_r.c"
compile wctomb_r "$libc/stdlib/wctomb_r.c"
compile localeconv "$libc/locale/localeconv.c"
compile errno "$libc/errno/errno.c"
compile impure "$libc/reent/impure.c"
rm -f "$out/libc.a"
ar rcs "$out/libc.a" "$out"/objects/*.o
