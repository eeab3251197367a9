#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of the given groups of packages.txt that are not
# there yet. Says nothing when none is missing, and one line when it cannot.
# usage: setup.sh GROUP...
set -euo pipefail
list=$(dirname "$0")/packages.txt
log=${TMPDIR:-/tmp}/yoke-setup.$$.log
trap 'rm -f "$log"' EXIT

cannot() { # reason
	echo "setup: $1; install with: apt-get install ${missing[*]}" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { # apt-get's arguments; waits for another apt to end
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" < /dev/null > "$log" 2>&1
}

wanted=()
while read -r group package _; do
	[[ " $* " == *" $group "* ]] && wanted+=("$package")
done < <(grep -v '^#' "$list")

missing=("${wanted[@]}")
command -v dpkg-query > /dev/null || cannot "this is no Debian system"
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2> /dev/null | sed -n 's/^installed //p') || true
missing=()
for package in "${wanted[@]}"; do
	grep -qx "$package" <<< "$installed" || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

if [ "$(id -u)" != 0 ]; then
	command -v sudo > /dev/null || cannot "neither root nor sudo"
	# With a terminal sudo may ask for the password; without one it must do without.
	[ -t 0 ] || sudo -n true 2> /dev/null || cannot "sudo wants a password and there is no terminal to ask on"
fi
echo "setup: installing ${missing[*]}"
# A repository that cannot be reached is only a warning to apt-get update, and may not be the one we need.
apt update || true
unreachable=$(grep -m1 -E '^(W|E): (Failed to fetch|Could not)' "$log" | sed 's/^...//') || true
apt install -y --no-install-recommends "${missing[@]}" ||
	cannot "apt-get install failed (${unreachable:-$(grep -m1 '^E:' "$log" || echo 'E: no reason given')})"
