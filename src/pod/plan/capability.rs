//! Capabilities by name (capability.h), and sets of them as the kernel writes them.

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// Docker's default set, of which the last ones are less known: a container's root
/// can do what root does with its own files and processes.
pub const DEFAULT: u64 = set(&[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
]);

/// What may be added to a container that is not privileged: these reach no further than
/// its own pod. All others reach the machine, or undo what hides it.
pub const HARMLESS: u64 = DEFAULT
    | set(&[
        "NET_BROADCAST",
        "NET_ADMIN",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_PTRACE",
        "SYS_NICE",
        "SYS_TTY_CONFIG",
        "LEASE",
        "LINUX_IMMUTABLE",
    ]);

/// Those of them that with the pod's PID namespace reach podnet-pause, and so the machine.
pub const NOT_WITH_POD_PIDS: u64 = set(&["SYS_PTRACE"]);
/// And with the node's network, the node.
pub const NOT_WITH_HOST_NETWORK: u64 = set(&["NET_ADMIN"]);

const fn set(names: &[&str]) -> u64 {
    let mut set = 0;
    let mut i = 0;
    while i < names.len() {
        set |= 1 << number(names[i]);
        i += 1;
    }
    set
}

/// In a constant, a name that is none does not compile: the shift overflows.
const fn number(name: &str) -> u32 {
    let mut i = 0;
    while i < NAMES.len() {
        if same(NAMES[i].as_bytes(), name.as_bytes()) {
            return i as u32;
        }
        i += 1;
    }
    u64::BITS
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The set of one name, with or without `CAP_`, in any case, or of `ALL`.
pub fn parse(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    if name == "ALL" {
        return Some(ALL);
    }
    let bit = NAMES.iter().position(|known| *known == name)?;
    Some(1 << bit)
}

pub fn names(set: u64) -> Vec<&'static str> {
    let in_set = |(bit, _): &(usize, &&str)| set & (1 << bit) != 0;
    NAMES
        .iter()
        .enumerate()
        .filter(in_set)
        .map(|(_, name)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_the_kernel_writes_them() {
        // CapBnd in /proc/self/status of a Docker container.
        assert_eq!(DEFAULT, 0xa804_25fb);
        assert_eq!(ALL, 0x1ff_ffff_ffff);
        assert_eq!(parse("cap_net_admin"), Some(1 << 12));
        assert_eq!(parse("NET_RAW"), Some(1 << 13));
        assert_eq!(parse("FLY"), None);
        assert_eq!(names(0b11), ["CHOWN", "DAC_OVERRIDE"]);
    }
}
