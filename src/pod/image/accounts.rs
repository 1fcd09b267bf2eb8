//! The users and groups an image knows: who `USER web` is, and where his home is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::pod::bundle::User;

use super::tree::Tree;

/// More of a file is not read.
const MAX_BYTES: u64 = 1 << 20;

/// passwd(5) and group(5), as far as they can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<Account>,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Accounts {
    pub fn only_root() -> Accounts {
        Accounts::parse("root:x:0:0:root:/root:/bin/sh", "root:x:0:")
    }

    /// Of the root file system in `root`; links in it stay in it. No file: nobody.
    pub fn read(root: &Path) -> io::Result<Accounts> {
        let root = Tree::open(root)?;
        Ok(Accounts::parse(
            &read_inside(&root, "etc/passwd")?,
            &read_inside(&root, "etc/group")?,
        ))
    }

    pub fn parse(passwd: &str, group: &str) -> Accounts {
        let account = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            Some(Account {
                name: (*fields.first()?).to_owned(),
                uid: fields.get(2)?.parse().ok()?,
                gid: fields.get(3)?.parse().ok()?,
                home: fields.get(5).copied().unwrap_or_default().into(),
            })
        };
        let group_of = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            let members = fields.get(3).copied().unwrap_or_default().split(',');
            Some(Group {
                name: (*fields.first()?).to_owned(),
                gid: fields.get(2)?.parse().ok()?,
                members: members.map(|name| name.trim().to_owned()).collect(),
            })
        };
        Accounts {
            users: passwd.lines().filter_map(account).collect(),
            groups: group.lines().filter_map(group_of).collect(),
        }
    }

    /// Who `USER[:GROUP]` is, each a name or a number; the name that is not there, if
    /// one is not.
    pub fn resolve(&self, text: &str) -> Result<User, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        let account = match user.parse() {
            Ok(uid) => self.user(uid),
            Err(_) if user.is_empty() => self.user(0),
            Err(_) => {
                let account = self.users.iter().find(|account| account.name == user);
                Some(account.ok_or_else(|| format!("user {user}"))?)
            }
        };
        let uid = account.map_or_else(|| user.parse().unwrap_or(0), |account| account.uid);
        let gid = match group {
            None => account.map_or(0, |account| account.gid),
            Some(group) => match group.parse() {
                Ok(gid) => gid,
                Err(_) => {
                    let found = self.groups.iter().find(|known| known.name == group);
                    found.ok_or_else(|| format!("group {group}"))?.gid
                }
            },
        };
        Ok(User {
            uid,
            gid,
            groups: self.groups_of(uid),
        })
    }

    /// The primary group of a user that is only known by number; 0 if there is no such user.
    pub fn group_of(&self, uid: u32) -> u32 {
        self.user(uid).map_or(0, |account| account.gid)
    }

    /// Groups that name the user as a member.
    pub fn groups_of(&self, uid: u32) -> Vec<u32> {
        let Some(account) = self.user(uid) else {
            return Vec::new();
        };
        let with_him = self
            .groups
            .iter()
            .filter(|group| group.members.contains(&account.name));
        with_him.map(|group| group.gid).collect()
    }

    /// `/` for who has none.
    pub fn home(&self, uid: u32) -> &Path {
        let home = self.user(uid).map(|account| account.home.as_path());
        home.filter(|home| home.is_absolute())
            .unwrap_or(Path::new("/"))
    }

    fn user(&self, uid: u32) -> Option<&Account> {
        self.users.iter().find(|account| account.uid == uid)
    }
}

fn read_inside(root: &Tree, path: &str) -> io::Result<String> {
    let file = match root.read(Path::new(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        Err(_) => return Ok(String::new()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_by_name_and_number() {
        let accounts = Accounts::parse(
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv/web:\nbroken:x:y\n",
            "root:x:0:\nlog:x:40:web,other\nstaff:x:50:\n",
        );
        let user = |text: &str| {
            accounts
                .resolve(text)
                .map(|user| (user.uid, user.gid, user.groups))
        };
        assert_eq!(user("web"), Ok((33, 34, vec![40])));
        assert_eq!(user("33"), Ok((33, 34, vec![40])));
        assert_eq!(user("web:staff"), Ok((33, 50, vec![40])));
        assert_eq!(user("1000"), Ok((1000, 0, vec![])));
        assert_eq!(user("1000:7"), Ok((1000, 7, vec![])));
        assert_eq!(user(""), Ok((0, 0, vec![])));
        assert_eq!(user("nobody-here"), Err("user nobody-here".to_owned()));
        assert_eq!(user("web:none"), Err("group none".to_owned()));
        assert_eq!(accounts.home(33), Path::new("/srv/web"));
        assert_eq!(accounts.home(1000), Path::new("/"));
    }
}
