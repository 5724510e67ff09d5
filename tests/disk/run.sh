#!/usr/bin/env bash
# Runs a command that can make disks, and let them fail:
#
#   tests/disk/run.sh COMMAND…
#
# The command finds a folder of its own in GUILDHALL_TEST_DISK, and in GUILDHALL_TEST_DISK_TOOL the
# program that makes file systems there and breaks them (tests/disk/tool.sh says how). All of it is in a
# mount namespace of its own: nothing is mounted for anybody else, and when the last process of the
# command has ended, in whatever way, the kernel takes the mounts and the loop devices away. The files
# under them are removed at the end.
#
# Needs root, loop devices, mkfs.ext4, and xfs_io and mkfs.xfs (Debian: e2fsprogs xfsprogs).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -gt 0 ]] || { sed -n '2,4p' "$0" >&2; exit 2; }

missing() { echo "tests of a failing disk cannot run here: $1" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
if [[ -z ${GUILDHALL_TEST_DISK_INSIDE-} ]]; then
  [[ $(id -u) == 0 ]] || missing "they mount file systems, which takes root (sudo $0 …)"
  for program in mkfs.ext4 mkfs.xfs xfs_io losetup unshare fallocate; do
    command -v "$program" >/dev/null || missing "$program is missing (Debian: e2fsprogs xfsprogs util-linux)"
  done
  [[ -e /dev/loop-control ]] || missing "there are no loop devices (/dev/loop-control)"
  exec env GUILDHALL_TEST_DISK_INSIDE=1 unshare --mount --propagation private "$0" "$@"
fi
unset GUILDHALL_TEST_DISK_INSIDE

GUILDHALL_TEST_DISK=$(mktemp -d "${TMPDIR:-/tmp}/guildhall-disk.XXXXXX")
export GUILDHALL_TEST_DISK GUILDHALL_TEST_DISK_TOOL=$here/tool.sh
command=
finish() {
  trap - EXIT INT TERM
  [[ -z $command ]] || kill "$command" 2>/dev/null || true
  wait 2>/dev/null || true
  # Lazily, so that a process that was left behind holds up nothing: what is below comes after.
  while read -r place; do umount -l "$place" || true; done \
    < <(awk -v root="$GUILDHALL_TEST_DISK/" 'index($2, root) == 1 {print $2}' /proc/mounts | sort -r)
  rm -rf --one-file-system "$GUILDHALL_TEST_DISK"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What is missing is known before anything runs.
"$here/tool.sh" make probe ext4 32M >/dev/null || missing "an ext4 in a file cannot be mounted"
"$here/tool.sh" remove probe
"$here/tool.sh" make probe xfs 320M >/dev/null || missing "an XFS in a file cannot be mounted"
"$here/tool.sh" remove probe

# Waited for, not run in front: only so a signal ends it at once.
"$@" <&0 &
command=$!
status=0
wait "$command" || status=$?
exit "$status"
