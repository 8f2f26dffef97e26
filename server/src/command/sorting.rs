//! SORT: the elements of a list, set or sorted set in an order of their own or of other keys; across slots not one moment's.

use std::cmp::Ordering;
use std::sync::Arc;

use replica::{Answer, ByteString, CellId, CellKind, Found, Operation, Read, Request};

use crate::command::arguments::parse_float;
use crate::command::permits::may_read_all;
use crate::command::refusal::{Refused, refusal};
use crate::command::requests::{Asker, call_at, check_name, request_with};
use crate::command::values::winner;
use crate::command::{Arguments, Command, ONE_KEY, READ_IN_TURN, WRITE_IN_TURN, here};
use crate::dump::{Contents, Dump};
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::Call;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    here("SORT", -2, WRITE_IN_TURN, ONE_KEY, "generic", "Elements in an order; reads, then perhaps writes.", sort),
    here("SORT_RO", -2, READ_IN_TURN, ONE_KEY, "generic", "Elements in an order.", sort_ro),
];

/// How many keys the elements' GETs may name.
const GETS: usize = 1_000_000;

/// A key, or a field of a hash, whose name is made of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Element,
    Key {
        name: Vec<u8>,
        field: Option<Vec<u8>>,
    },
    /// Without a place for the element it is nothing.
    Nothing,
}

impl Pattern {
    fn parse(text: &[u8]) -> Self {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = text.iter().position(|byte| *byte == b'*') else { return Pattern::Nothing };
        let arrow = text.windows(2).skip(star).position(|two| two == b"->").map(|at| at + star);
        match arrow {
            Some(at) if at + 2 < text.len() => {
                Pattern::Key { name: text[..at].to_vec(), field: Some(text[at + 2..].to_vec()) }
            }
            _ => Pattern::Key { name: text.to_vec(), field: None },
        }
    }

    /// What to read for an element.
    fn request(&self, element: &[u8], asker: &Asker, node: &Node) -> Option<Request> {
        let Pattern::Key { name, field } = self else { return None };
        let star = name.iter().position(|byte| *byte == b'*')?;
        let key = [&name[..star], element, &name[star + 1..]].concat();
        check_name(node, &key).ok()?;
        let read = Read::Cells(vec![Self::cell(field.as_deref())]);
        Some(request_with(asker.quorums, node, &key, Operation::Read(read)))
    }

    fn cell(field: Option<&[u8]>) -> CellId {
        field.map_or_else(CellId::value, CellId::field)
    }

    fn value(&self, element: &[u8], answer: Option<&Answer>) -> Option<Vec<u8>> {
        match (self, answer) {
            (Pattern::Element, _) => Some(element.to_vec()),
            (Pattern::Key { field, .. }, Some(Answer::Found(found))) => {
                let kind = if field.is_some() { CellKind::Field } else { CellKind::Value };
                (found.kind == Some(kind)).then(|| winner(found, &Self::cell(field.as_deref())))?
            }
            _ => None,
        }
    }
}

/// What was asked for.
struct Sorting {
    by: Pattern,
    gets: Vec<Pattern>,
    limit: Option<(i64, i64)>,
    descending: bool,
    by_name: bool,
    store: Option<Vec<u8>>,
    asker: Asker,
}

impl Sorting {
    fn parse(arguments: &Arguments<'_>, asker: Asker, may_store: bool) -> Result<Self, Refused> {
        let mut sorting = Self {
            by: Pattern::Element,
            gets: Vec::new(),
            limit: None,
            descending: false,
            by_name: false,
            store: None,
            asker,
        };
        let mut at = 2;
        while at < arguments.len() {
            let follow = arguments.len() - at - 1;
            match arguments.word(at).as_str() {
                "ASC" => sorting.descending = false,
                "DESC" => sorting.descending = true,
                "ALPHA" => sorting.by_name = true,
                "LIMIT" if follow >= 2 => {
                    sorting.limit = Some((arguments.integer(at + 1)?, arguments.integer(at + 2)?));
                    at += 2;
                }
                "BY" if follow >= 1 => {
                    sorting.by = Pattern::parse(arguments.get(at + 1));
                    at += 1;
                }
                "GET" if follow >= 1 => {
                    sorting.gets.push(Pattern::parse(arguments.get(at + 1)));
                    at += 1;
                }
                "STORE" if follow >= 1 && may_store => {
                    sorting.store = Some(arguments.get(at + 1).to_vec());
                    at += 1;
                }
                _ => return Err(Reply::syntax_error().into()),
            }
            at += 1;
        }
        Ok(sorting)
    }

    /// Keys whose names are made of elements may be any.
    fn check_rights(&self, session: &Session) -> Result<(), Reply> {
        let by = matches!(self.by, Pattern::Key { .. }).then_some("BY");
        let Some(option) = by.or((!self.gets.is_empty()).then_some("GET")) else { return Ok(()) };
        if may_read_all(&session.user) {
            return Ok(());
        }
        Err(Reply::error(format!("ERR {option} option of SORT denied due to insufficient ACL permissions.")))
    }

    /// The elements in their order, by what they weigh.
    fn order(&self, elements: Vec<Vec<u8>>, weights: &[Option<Vec<u8>>]) -> Result<Vec<Vec<u8>>, Reply> {
        let mut weighed = Vec::with_capacity(elements.len());
        for (element, weight) in elements.into_iter().zip(weights) {
            let number = match weight {
                _ if self.by_name => 0.0,
                None => 0.0,
                Some(text) if text.is_empty() => 0.0,
                Some(text) => parse_float(text)
                    .ok_or_else(|| Reply::error("ERR One or more scores can't be converted into double"))?,
            };
            weighed.push((number, weight, element));
        }
        if self.by != Pattern::Nothing {
            weighed.sort_by(|(x, x_name, x_element), (y, y_name, y_element)| {
                let order = if self.by_name { x_name.cmp(y_name) } else { x.total_cmp(y) };
                let order = match order {
                    Ordering::Equal => x_element.cmp(y_element),
                    other => other,
                };
                if self.descending { order.reverse() } else { order }
            });
        }
        let elements = weighed.into_iter().map(|(_, _, element)| element);
        Ok(match self.limit {
            None => elements.collect(),
            Some((from, count)) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                elements.skip(usize::try_from(from).unwrap_or(0)).take(count).collect()
            }
        })
    }

    fn finish(self, values: Vec<Option<Vec<u8>>>, node: &Arc<Node>) -> Step {
        let Some(to) = self.store else { return Reply::array(values).into() };
        let count = values.len();
        let contents = Contents::List(values.into_iter().map(|value| ByteString(value.unwrap_or_default())).collect());
        let put = Call::store("sortstore", &to, contents);
        call_at(&to, &put, &self.asker, node).map_reply(move |reply| match reply {
            Reply::Integer(_) => Reply::count(count),
            refused => refused,
        })
    }
}

fn sort(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    run(arguments, session, node, true)
}

fn sort_ro(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    run(arguments, session, node, false)
}

fn run(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, may_store: bool) -> Step {
    let sorting = match Sorting::parse(arguments, Asker::of(session), may_store) {
        Ok(sorting) => sorting,
        Err(refused) => return refused.at_once(node),
    };
    if let Err(refused) = sorting.check_rights(session) {
        return refused.into();
    }
    let key = arguments.get(1);
    let named = check_name(node, key).and_then(|()| sorting.store.iter().try_for_each(|to| check_name(node, to)));
    if let Err(refused) = named {
        return refused.into();
    }
    let all = request_with(session.quorums, node, key, Operation::Read(Read::All));
    Step::ask_one(all, move |answer, node| match answer {
        Answer::Found(found) => match elements(&found) {
            Some(mut elements) => {
                // A sorted set has an order to be turned round even if none is asked for.
                if found.kind == Some(CellKind::Score) && sorting.by == Pattern::Nothing && sorting.descending {
                    elements.reverse();
                }
                weigh(elements, sorting, node)
            }
            None => Reply::wrong_type().into(),
        },
        other => refusal(&other, node).into(),
    })
}

fn elements(found: &Found) -> Option<Vec<Vec<u8>>> {
    let dump = match Dump::of(found) {
        None => return Some(Vec::new()),
        Some(dump) => dump,
    };
    match dump.contents {
        Contents::Set(all) | Contents::List(all) => Some(all.into_iter().map(|element| element.0).collect()),
        Contents::Sorted(all) => Some(all.into_iter().map(|(element, _)| element.0).collect()),
        _ => None,
    }
}

/// Reads what the elements are ordered by, orders them, and reads what is to be shown.
fn weigh(elements: Vec<Vec<u8>>, sorting: Sorting, node: &Arc<Node>) -> Step {
    let requests = elements.iter().filter_map(|element| sorting.by.request(element, &sorting.asker, node)).collect();
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            let mut answers = answers.iter();
            let weights: Vec<_> = elements
                .iter()
                .map(|element| {
                    let asked = sorting.by.request(element, &sorting.asker, node).is_some();
                    sorting.by.value(element, if asked { answers.next() } else { None })
                })
                .collect();
            match sorting.order(elements, &weights) {
                Ok(ordered) => show(ordered, sorting, node),
                Err(refused) => refused.into(),
            }
        }),
    )
}

fn show(ordered: Vec<Vec<u8>>, sorting: Sorting, node: &Arc<Node>) -> Step {
    if sorting.gets.is_empty() {
        return sorting.finish(ordered.into_iter().map(Some).collect(), node);
    }
    if ordered.len().saturating_mul(sorting.gets.len()) > GETS {
        return Reply::error(format!("ERR SORT reads up to {GETS} other keys: use LIMIT")).into();
    }
    let wanted = |element: &Vec<u8>| -> Vec<Option<Request>> {
        sorting.gets.iter().map(|get| get.request(element, &sorting.asker, node)).collect()
    };
    let wanted: Vec<Vec<Option<Request>>> = ordered.iter().map(wanted).collect();
    let asked: Vec<Vec<bool>> = wanted.iter().map(|of_one| of_one.iter().map(Option::is_some).collect()).collect();
    let requests = wanted.into_iter().flatten().flatten().collect();
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            let (mut answers, mut values) = (answers.iter(), Vec::new());
            for (element, asked) in ordered.iter().zip(asked) {
                for (get, asked) in sorting.gets.iter().zip(asked) {
                    values.push(get.value(element, if asked { answers.next() } else { None }));
                }
            }
            sorting.finish(values, node)
        }),
    )
}
