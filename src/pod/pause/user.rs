//! Who a container's process is, and what it may do.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use crate::pod::bundle::{Process, User};

use super::step::{StartError, Step};

/// The user (or group) numbers that exist in this user namespace: first, count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<(u32, u32)>);

impl IdMap {
    /// user_namespaces(7), "uid_map".
    pub fn parse(text: &str) -> IdMap {
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            match (numbers.next()?, numbers.next()?, numbers.next()?) {
                (Ok(first), Ok(_), Ok(count)) => Some((first, count)),
                _ => None,
            }
        };
        IdMap(text.lines().filter_map(range).collect())
    }

    pub fn of_users() -> io::Result<IdMap> {
        Ok(IdMap::parse(&fs::read_to_string("/proc/self/uid_map")?))
    }

    pub fn of_groups() -> io::Result<IdMap> {
        Ok(IdMap::parse(&fs::read_to_string("/proc/self/gid_map")?))
    }

    pub fn has(&self, id: u32) -> bool {
        let within = |(first, count): &(u32, u32)| id >= *first && id - first < *count;
        self.0.iter().any(within)
    }
}

/// Whether numbers that do not exist here are asked for, as in the lab of an
/// ordinary user, who has but one: the process then gets a user namespace where its
/// number stands for that one, and so no capability over the pod's namespaces.
pub fn needs_namespace(user: &User, users: &IdMap, groups: &IdMap) -> bool {
    !users.has(user.uid) || !groups.has(user.gid)
}

/// Takes effect for the whole process, which must not hold anything that the
/// container may not have: it can be looked at as soon as this is done.
pub fn become_user(process: &Process, own_namespace: bool) -> Result<(), StartError> {
    let user = &process.user;
    if own_namespace {
        unshare(CloneFlags::CLONE_NEWUSER).step("make a user namespace")?;
        let map = |kind: &str, text: String| fs::write(format!("/proc/self/{kind}"), text);
        map("setgroups", "deny".to_owned())
            .and_then(|()| map("uid_map", format!("{} 0 1", user.uid)))
            .and_then(|()| map("gid_map", format!("{} 0 1", user.gid)))
            .step("map the user")?;
    }
    assume(process)
}

/// As [`become_user`], in the user namespace where the process is to be.
pub fn assume(process: &Process) -> Result<(), StartError> {
    // Until execve nobody in the container opens this program through /proc.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the program")?;
    let user = &process.user;
    let kept = CapabilitySet::from_bits_retain(process.capabilities);
    clear_ambient_capability_set().step("drop ambient capabilities")?;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !kept.contains(capability) => {
                let dropped = remove_capability_from_bounding_set(capability);
                dropped.step(format_args!("drop capability {bit}"))?;
            }
            Ok(_) => {}
            // The kernel knows no more of them.
            Err(_) => break,
        }
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    supplementary(&user.groups)?;
    setresgid(gid, gid, gid).step(format_args!("become group {gid}"))?;
    setresuid(uid, uid, uid).step(format_args!("become user {uid}"))?;
    let now = capabilities(None).step("read the capabilities")?;
    let left = match user.uid {
        0 => now.permitted & kept,
        _ => CapabilitySet::empty(),
    };
    let sets = CapabilitySets {
        effective: left,
        permitted: left,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).step("drop capabilities")?;
    if process.no_new_privileges {
        set_no_new_privs(true).step("give up new privileges")?;
    }
    Ok(())
}

/// Where they are denied, no group can be had that was not there.
fn supplementary(groups: &[u32]) -> Result<(), StartError> {
    let allowed = fs::read_to_string("/proc/self/setgroups");
    if allowed.is_ok_and(|text| text.trim() == "deny") {
        return Ok(());
    }
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).step("set the supplementary groups")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mapped_exists() {
        let map = IdMap::parse("         0       1000          1\n 100 200000 50\n");
        for (id, there) in [
            (0, true),
            (1, false),
            (100, true),
            (149, true),
            (150, false),
        ] {
            assert_eq!(map.has(id), there, "{id}");
        }
        let all = IdMap::parse("0 0 4294967295");
        let nobody = User {
            uid: 65534,
            gid: 65534,
            groups: Vec::new(),
        };
        assert!(!needs_namespace(&nobody, &all, &all));
        assert!(needs_namespace(&nobody, &map, &map));
        assert!(needs_namespace(&nobody, &all, &map));
        assert!(!needs_namespace(&User::default(), &map, &map));
    }
}
