//! The file of users (`--aclfile`): a line per user, `user <name> <rule> ..`, as Redis has it. Lines that begin with `#` are left out.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::user::{Definition, User};

/// The greatest file that is read.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What a file has; if a line is wrong, what is wrong, line by line, and nothing else.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Definition>, String> {
    let place = path.display();
    let failed = |why: io::Error| format!("Error loading ACLs, opening file '{place}': {why}");
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES {
        return Err(format!("Error loading ACLs: file '{place}' has more than {FILE_BYTES} bytes"));
    }
    let text = std::fs::read(path).map_err(failed)?;
    let (mut users, mut wrong) = (BTreeMap::new(), Vec::new());
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match user(line) {
            Ok((name, _)) if users.contains_key(&name) => {
                wrong.push(format!("{place}:{}: duplicate user '{name}' found.", number + 1));
            }
            Ok((name, definition)) => drop(users.insert(name, definition)),
            Err(why) => wrong.push(format!("{place}:{}: {why}", number + 1)),
        }
    }
    if wrong.is_empty() {
        return Ok(users);
    }
    let why = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    Err(format!("{} {why}", wrong.join(". ")))
}

fn user(line: &[u8]) -> Result<(String, Definition), String> {
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let [b"user", name, rules @ ..] = &words[..] else {
        return Err("should start with user keyword followed by the username.".to_owned());
    };
    let name = std::str::from_utf8(name).map_err(|_| "the username is no UTF-8.")?;
    let mut definition = Definition::default();
    definition
        .apply_all(rules)
        .map_err(|why| why.replace("Error in ACL SETUSER modifier", "Error in user declaration"))?;
    Ok((name.to_owned(), definition))
}

/// Replaces the file as a whole; whoever could read it can, and a new one is for its owner alone.
pub(super) fn write(path: &Path, users: &[Arc<User>]) -> io::Result<()> {
    let draft = path.with_extension("acl-new");
    let mut file = begin(&draft)?;
    if let Ok(before) = std::fs::metadata(path) {
        file.set_permissions(before.permissions())?;
    }
    for user in users {
        file.write_all(&user.describe())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

/// Makes a file that nobody else may read at any moment; one that was left over is in the way.
fn begin(draft: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(draft) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(draft)?;
            options.open(draft)
        }
        opened => opened,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_a_new_one_is_for_its_owner_alone() {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().join("users.acl");
        let users = [User::anybody()];
        let mode = || metadata(&path).expect("it is there").permissions().mode() & 0o7777;
        // One that was left over is not taken as it is.
        std::fs::write(path.with_extension("acl-new"), "left over").expect("it can be written");
        write(&path, &users).expect("it can be written");
        assert_eq!(mode(), 0o600);
        for kept in [0o640, 0o400, 0o644] {
            set_permissions(&path, Permissions::from_mode(kept)).expect("it is ours");
            write(&path, &users).expect("it can be written");
            assert_eq!(mode(), kept);
        }
        assert_eq!(read(&path).expect("it can be read").len(), 1);
    }
}
