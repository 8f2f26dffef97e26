//! Rights as both servers see them: for every line of every script, what users of all kinds would be permitted, and for every
//! command the categories.

use std::collections::BTreeMap;

use super::peer::{Speaker, Value};
use super::{both, words};

/// Users, each with a part of what there is.
const USERS: &[(&str, &str)] = &[
    ("reader", "on nopass %R~* &* +@all"),
    ("writer", "on nopass %W~* &* +@all"),
    ("toucher", "on nopass ~a* ~k* ~{t}a* &a* +@all"),
    ("mixed", "on nopass %R~a* %W~b* %R~{t}* %W~{u}* %R~k %W~l &* +@all"),
    ("selected", "on nopass -@all (%R~* +@read) (~s* +@set +@hash) (%W~* +@write -@list)"),
    (
        "subcommander",
        "on nopass ~* -@all +config|get +object|encoding +client +client|kill +xinfo|stream +pubsub|numsub",
    ),
];

const SCRIPTS: &[&str] = &[
    include_str!("scripting.txt"),
    include_str!("strings.txt"),
    include_str!("keys.txt"),
    include_str!("hashes.txt"),
    include_str!("sets.txt"),
    include_str!("geo.txt"),
    include_str!("sorted_sets.txt"),
    include_str!("lists.txt"),
    include_str!("streams.txt"),
    include_str!("bits.txt"),
    include_str!("transactions.txt"),
    include_str!("connection.txt"),
];

/// Commands whose names here and there are those of different things, or of which one side has more subcommands.
fn is_known_to_both(command: &[Vec<u8>], known: &BTreeMap<String, Vec<String>>) -> bool {
    command.first().is_some_and(|name| known.contains_key(&String::from_utf8_lossy(name).to_ascii_lowercase()))
}

fn text(value: &Value) -> String {
    match value {
        Value::Line(_, text) => text.clone(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// `command` and `command|subcommand`, with their categories.
fn categories(of: &mut Speaker) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let Value::Many(_, entries) = of.call(&words("COMMAND")) else { panic!("COMMAND gives a list") };
    let mut waiting = entries;
    while let Some(entry) = waiting.pop() {
        let Value::Many(_, mut fields) = entry else { panic!("a command has several properties") };
        let Some(Value::Many(_, subs)) = fields.pop() else { panic!("the last one is its subcommands") };
        waiting.extend(subs);
        let Some(Value::Many(_, names)) = fields.get(6) else { panic!("the seventh is its categories") };
        let mut names: Vec<String> = names.iter().map(text).collect();
        names.sort();
        all.insert(text(&fields[0]), names);
    }
    all
}

#[test]
fn commands_are_in_the_same_categories() {
    let Some((dotted, _data, redis)) = both() else { return };
    let (mut ours, mut theirs) = (Speaker::new(&dotted.address, 2), Speaker::new(&redis.address, 2));
    let (here, there) = (categories(&mut ours), categories(&mut theirs));
    let mut compared = 0;
    for (name, categories) in &here {
        // Redis 7.0 does not know CLIENT NO-TOUCH and SETINFO.
        let Some(theirs) = there.get(name) else { continue };
        assert_eq!(categories, theirs, "{name}");
        compared += 1;
    }
    assert!(compared > 230, "{compared}");
    // ACL CAT says the same as COMMAND INFO.
    for (name, categories) in &here {
        for category in categories {
            let listed = ours.call(&words(&format!("ACL CAT {}", category.trim_start_matches('@'))));
            let Value::Many(_, listed) = listed else { panic!("{category} is a category") };
            assert!(listed.iter().any(|command| text(command) == *name), "{name} in {category}");
        }
    }
}

#[test]
fn the_same_is_permitted() {
    let Some((dotted, _data, redis)) = both() else { return };
    let (mut ours, mut theirs) = (Speaker::new(&dotted.address, 2), Speaker::new(&redis.address, 2));
    let (here, there) = (categories(&mut ours), categories(&mut theirs));
    for (name, rules) in USERS {
        let mut line = words(&format!("ACL SETUSER {name}"));
        let open = rules.split(' ').map(|rule| rule.as_bytes().to_vec());
        line.extend(open);
        assert_eq!(text(&ours.call(&line)), "OK");
        assert_eq!(text(&theirs.call(&line)), "OK");
    }
    let (mut differences, mut compared, mut refused) = (Vec::new(), 0, 0);
    let lines = SCRIPTS.iter().flat_map(|script| script.lines()).map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.trim_start_matches(['~', '?', '!']).trim_start();
        let command = words(line);
        if !is_known_to_both(&command, &here) || !is_known_to_both(&command, &there) {
            continue;
        }
        for (name, _) in USERS {
            let mut asked = words(&format!("ACL DRYRUN {name}"));
            asked.extend(command.iter().cloned());
            let (here, there) = (ours.call(&asked), theirs.call(&asked));
            compared += 1;
            refused += usize::from(text(&there).starts_with("This user"));
            if here != there {
                differences.push(format!("{name}: {line}\n    here:  {here}\n    redis: {there}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {compared} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 5_000 && refused > 1_000 && refused < compared - 1_000, "{refused} of {compared}");
}
