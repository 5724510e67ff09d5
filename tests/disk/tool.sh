#!/usr/bin/env bash
# A disk for a test, and what can happen to it; for commands that tests/disk/run.sh runs.
#
#   make NAME ext4|xfs SIZE    makes one (its file is sparse) and prints where it is mounted
#   make NAME thin SIZE        an XFS that promises SIZE, on storage of which there are only 128 MiB
#   cut NAME                   the power goes: what was not synced is gone, every access is an error
#   power NAME                 the power is back: unmounted and mounted again; nobody may use it
#   readonly NAME              ext4 gives up, as after an error of its own: reads go on
#   fill NAME MIB              leaves so many MiB free (thin: of the storage behind it)
#   free NAME                  takes that back
#   remove NAME                unmounts it and removes its file
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
: "${GUILDHALL_TEST_DISK:?run it below tests/disk/run.sh}"
command=$1 name=$2
place=$GUILDHALL_TEST_DISK/$name/disk behind=$GUILDHALL_TEST_DISK/$name/behind
image=$behind/image

attach() { mount -o loop "$image" "$place"; }

# Something may still hold a file for a moment after its process has ended.
detach() {
  local try
  for ((try = 0; try < 100; try++)); do
    umount "$place" 2>/dev/null && return
    sleep 0.1
  done
  umount "$place"
}

filled() { # filled: the file system whose room is taken
  if [[ -e $GUILDHALL_TEST_DISK/$name/thin ]]; then echo "$behind"; else echo "$place"; fi
}

case $command in
  make)
    kind=$3 size=$4
    mkdir -p "$place" "$behind"
    if [[ $kind == thin ]]; then
      touch "$GUILDHALL_TEST_DISK/$name/thin"
      mount -t tmpfs -o size=128m thin "$behind"
    fi
    truncate -s "$size" "$image"
    case $kind in
      ext4) mkfs.ext4 -q -F -m 0 "$image" ;;
      # Its log is written whole when it is made, so that there is room for it behind a thin one.
      xfs | thin) mkfs.xfs -q -K "$image" >/dev/null ;;
      *) echo "no kind of disk: $kind" >&2; exit 2 ;;
    esac
    attach
    echo "$place"
    ;;
  cut) xfs_io -F -x -c shutdown "$place" ;;
  power) detach && attach ;;
  readonly) mount -o remount,abort "$place" ;;
  fill)
    room=$(df --block-size=1M --output=avail "$(filled)" | tail -1)
    # df rounds up.
    ((room <= $3 + 1)) || fallocate -l "$((room - $3 - 1))M" "$(filled)/filler"
    # The last blocks are taken by writing.
    [[ $3 != 0 ]] || dd if=/dev/zero of="$(filled)/filler.rest" bs=4k status=none 2>/dev/null || true
    ;;
  free) rm -f "$(filled)/filler" "$(filled)/filler.rest" ;;
  remove)
    detach
    [[ ! -e $GUILDHALL_TEST_DISK/$name/thin ]] || umount "$behind"
    rm -rf --one-file-system "${GUILDHALL_TEST_DISK:?}/$name"
    ;;
  *) echo "unknown: $command" >&2; exit 2 ;;
esac
