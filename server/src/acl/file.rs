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

/// Replaces the file as a whole.
pub(super) fn write(path: &Path, users: &[Arc<User>]) -> io::Result<()> {
    let draft = path.with_extension("acl-new");
    let mut file = std::fs::File::create(&draft)?;
    for user in users {
        file.write_all(&user.describe())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}
