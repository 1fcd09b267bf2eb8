//! Settings below `/proc/sys/net`, which shows the reader's own network namespace.

use std::fs;
use std::io;

use crate::kernel::KernelError;

/// `net.ipv4.ip_forward` → its value without the line's end.
pub fn read(key: &str) -> io::Result<String> {
    fs::read_to_string(path(key)).map(|text| text.trim_end().to_owned())
}

pub fn write(key: &str, value: &str) -> Result<(), KernelError> {
    fs::write(path(key), value)
        .map_err(|error| KernelError::io(format!("set {key} to {value}"), &error))
}

/// Switch IPv6 off for every link of this namespace, present and future, so
/// that links without an IPv6 address do not flood their bridge with multicast
/// listener reports. A kernel without IPv6 has nothing to switch off.
pub fn disable_ipv6() -> Result<(), KernelError> {
    for scope in ["default", "all"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
        match fs::write(&path, "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(KernelError::io(format!("write {path}"), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn path(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}
