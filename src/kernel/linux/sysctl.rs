//! Settings below `/proc/sys/net`, which shows the reader's own network namespace.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::kernel::KernelError;
use crate::model::LinkName;

const IPV6: &str = "/proc/sys/net/ipv6";

/// `net.ipv4.ip_forward` → its value without the line's end. A kernel without
/// IPv6 has it switched off everywhere.
pub fn read(key: &str) -> io::Result<String> {
    match fs::read_to_string(path(key)) {
        Err(_) if key.ends_with("disable_ipv6") && !Path::new(IPV6).exists() => Ok("1".to_owned()),
        read => read.map(|text| text.trim_end().to_owned()),
    }
}

pub fn write(key: &str, value: &str) -> Result<(), KernelError> {
    fs::write(path(key), value)
        .map_err(|error| KernelError::io(format!("set {key} to {value}"), &error))
}

/// Switch IPv6 off for every link of this namespace, present and future, so
/// that links without an IPv6 address do not flood their bridge with multicast
/// listener reports, and believe no router advertisement. A kernel without IPv6
/// has nothing to switch off.
///
/// Setting `all` sets `default` too (`addrconf_disable_ipv6` in addrconf.c), and
/// each look-up below `/proc/sys/net` takes longer the more namespaces there are.
pub fn disable_ipv6() -> Result<(), KernelError> {
    switch_ipv6_off("all")
}

/// The same for one link.
pub fn disable_ipv6_on(link: &LinkName) -> Result<(), KernelError> {
    switch_ipv6_off(link.as_str())
}

fn switch_ipv6_off(which: &str) -> Result<(), KernelError> {
    let path = format!("{IPV6}/conf/{which}/disable_ipv6");
    let written = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(b"1"));
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KernelError::io(format!("write {path}"), &error))
        }
        _ => Ok(()),
    }
}

/// Whether new links of this namespace have no IPv6. Without an answer they are
/// taken to have it.
pub fn born_without_ipv6() -> bool {
    read("net.ipv6.conf.default.disable_ipv6").is_ok_and(|value| value == "1")
}

fn path(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}
