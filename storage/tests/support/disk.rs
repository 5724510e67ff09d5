//! A disk of its own for a test, and what can happen to it: `tests/disk/tool.sh`, under
//! `tests/disk/run.sh`.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in a file, mounted for this test alone; gone when dropped.
pub(crate) struct Disk {
    tool: PathBuf,
    name: &'static str,
    place: PathBuf,
}

impl Disk {
    /// Makes one, or answers `None` and says so when `tests/disk/run.sh` has not prepared it. `kind` is
    /// `ext4`, `xfs` or `thin`; `name` is this test's alone.
    pub(crate) fn make(name: &'static str, kind: &str, size: &str) -> Option<Self> {
        let Some(tool) = std::env::var_os("GUILDHALL_TEST_DISK_TOOL") else {
            eprintln!("not run: it makes disks; give the command to tests/disk/run.sh");
            return None;
        };
        let mut disk = Self {
            tool: tool.into(),
            name,
            place: PathBuf::new(),
        };
        disk.place = disk.run("make", &[kind, size]).trim().into();
        Some(disk)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new(&self.tool)
            .args([command, self.name])
            .args(arguments)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command} {} {arguments:?}: {told}",
            self.name
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Where it is mounted.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The power goes: what was not synced is gone, every access is an error.
    pub(crate) fn cut(&self) {
        self.run("cut", &[]);
    }

    /// The power is back, and nothing is remembered of the disk but what is on it. Nobody may use it.
    pub(crate) fn power(&self) {
        self.run("power", &[]);
    }

    /// The file system gives up writing, reads go on.
    pub(crate) fn read_only(&self) {
        self.run("readonly", &[]);
    }

    /// Somebody else takes the room but so many MiB.
    pub(crate) fn fill(&self, leave_mib: u64) {
        self.run("fill", &[&leave_mib.to_string()]);
    }

    /// That room is free again.
    pub(crate) fn free(&self) {
        self.run("free", &[]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run("remove", &[]);
        }
    }
}
