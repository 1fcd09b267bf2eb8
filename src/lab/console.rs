//! Whether the kernel writes its messages to a serial console.
//!
//! The bridge announces every state of a port (`br_set_state` in br_stp.c), and
//! `__dev_set_promiscuity` and `netif_set_allmulti` what they change: six lines for a
//! pod, three when it goes. On a console that is slow, each is written out while the rtnl
//! lock is held (`console_flush_all` in printk.c), and everything that changes links waits.

use std::fs;

/// `KERN_INFO`, the level of these messages: written out if the console's level is higher.
const INFO: u32 = 6;

/// Name of a serial console that gets them; `None`: there is none, or nobody can tell.
pub fn slowed_by() -> Option<String> {
    let levels = fs::read_to_string("/proc/sys/kernel/printk").ok()?;
    let consoles = fs::read_to_string("/proc/consoles").ok()?;
    serial(&levels, &consoles).map(ToOwned::to_owned)
}

/// From what the two files say (`Documentation/admin-guide/sysctl/kernel.rst`; a line of
/// `/proc/consoles` is name, operations, flags in brackets, device number).
fn serial<'a>(levels: &str, consoles: &'a str) -> Option<&'a str> {
    let level: u32 = levels.split_whitespace().next()?.parse().ok()?;
    if level <= INFO {
        return None;
    }
    consoles.lines().find_map(|line| {
        let name = line.split_whitespace().next()?;
        let flags = line.split_once('(')?.1.split_once(')')?.0;
        let is_serial = ["ttyS", "ttyAMA", "hvc"]
            .iter()
            .any(|kind| name.starts_with(kind));
        (is_serial && flags.contains('E')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::serial;

    const SERIAL: &str = "ttyS0                -W- (EC  p a)    4:64\n";
    const SCREEN: &str = "tty0                 -WU (EC  p  )    4:1\n";
    const OFF: &str = "ttyS0                -W- (   p a)    4:64\n";

    #[test]
    fn a_serial_console_that_gets_the_bridges_messages_is_named() {
        assert_eq!(serial("15\t4\t1\t7\n", SERIAL), Some("ttyS0"));
        assert_eq!(
            serial("7 4 1 7", &(SCREEN.to_owned() + SERIAL)),
            Some("ttyS0")
        );
        assert_eq!(serial("4 4 1 7", SERIAL), None, "quiet");
        assert_eq!(serial("7 4 1 7", SCREEN), None, "a screen is fast enough");
        assert_eq!(serial("7 4 1 7", OFF), None, "not enabled");
        assert_eq!(serial("", ""), None);
    }
}
