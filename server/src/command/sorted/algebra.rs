//! Several sorted sets, or sets, as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use replica::{Answer, ByteString, CellKind, Keys, Operation, Read};

use crate::command::refusal::{Done, Refused, first_refusal};
use crate::command::requests::{Asker, call_at, request};
use crate::command::sets::limit;
use crate::command::sorted::range::Ranged;
use crate::command::sorted::{COUNTED, STORED, Scored, in_order, shown, sort};
use crate::command::{Arguments, check_name};
use crate::dump::Contents;
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{Call, said};
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algebra {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
}

impl Aggregate {
    fn of(self, x: f64, y: f64) -> f64 {
        match self {
            // Infinities that cancel out are 0 there.
            Aggregate::Sum => {
                if (x + y).is_nan() {
                    0.0
                } else {
                    x + y
                }
            }
            Aggregate::Least => x.min(y),
            Aggregate::Greatest => x.max(y),
        }
    }
}

/// The keys of a combination, and how it is done.
struct Combination {
    algebra: Algebra,
    keys: Vec<Vec<u8>>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Combination {
    /// `numkeys key .. [WEIGHTS w ..] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]`
    fn parse(arguments: &Arguments<'_>, number: usize, algebra: Algebra) -> Result<Self, Refused> {
        let places = if number == 1 { COUNTED } else { STORED };
        let command = arguments.text(0).to_ascii_lowercase();
        if parse_integer(arguments.get(number)).is_some_and(|count| count <= 0) {
            let why = format!("ERR at least 1 input key is needed for '{command}' command");
            return Err(Reply::error(why).into());
        }
        let keys: Vec<Vec<u8>> = places.of(arguments)?.into_iter().skip(number - 1).map(<[u8]>::to_vec).collect();
        let mut of =
            Self { algebra, weights: vec![1.0; keys.len()], keys, aggregate: Aggregate::Sum, with_scores: false };
        let mut at = number + 1 + of.keys.len();
        while at < arguments.len() {
            let follow = arguments.len() - at - 1;
            let has_weights = algebra != Algebra::Difference;
            match arguments.word(at).as_str() {
                "WITHSCORES" if number == 1 => at += 1,
                "WEIGHTS" if has_weights && follow >= of.keys.len() => {
                    for (place, weight) in of.weights.iter_mut().enumerate() {
                        let given = crate::command::arguments::parse_float(arguments.get(at + 1 + place));
                        *weight = given.ok_or_else(|| Reply::error("ERR weight value is not a float"))?;
                    }
                    at += 1 + of.keys.len();
                }
                "AGGREGATE" if has_weights && follow > 0 => {
                    of.aggregate = match arguments.word(at + 1).as_str() {
                        "SUM" => Aggregate::Sum,
                        "MIN" => Aggregate::Least,
                        "MAX" => Aggregate::Greatest,
                        _ => return Err(Reply::syntax_error().into()),
                    };
                    at += 2;
                }
                _ => return Err(Reply::syntax_error().into()),
            }
            of.with_scores |= arguments.is(at - 1, "WITHSCORES");
        }
        Ok(of)
    }

    fn of(&self, sets: Vec<Vec<Scored>>) -> Vec<Scored> {
        let weigh = |score: f64, weight: f64| if (score * weight).is_nan() { 0.0 } else { score * weight };
        let mut sets = sets.into_iter().zip(&self.weights).map(|(set, weight)| {
            set.into_iter().map(|(member, score)| (member, weigh(score, *weight))).collect::<BTreeMap<_, _>>()
        });
        let first = sets.next().unwrap_or_default();
        let all = sets.fold(first, |mut sum, set| {
            match self.algebra {
                Algebra::Union => {
                    for (member, score) in set {
                        sum.entry(member)
                            .and_modify(|before| *before = self.aggregate.of(*before, score))
                            .or_insert(score);
                    }
                }
                Algebra::Intersection => {
                    sum.retain(|member, _| set.contains_key(member));
                    sum.iter_mut().for_each(|(member, score)| *score = self.aggregate.of(*score, set[member]));
                }
                Algebra::Difference => sum.retain(|member, _| !set.contains_key(member)),
            }
            sum
        });
        let mut all: Vec<Scored> = all.into_iter().collect();
        sort(&mut all);
        all
    }

    /// Reads all the sets, and goes on with what they are together.
    fn run(self, session: &Session, node: &Arc<Node>, then: impl FnOnce(Vec<Scored>, bool) -> Step + 'static) -> Step {
        if let Some(refused) = self.keys.iter().find_map(|key| check_name(node, key).err()) {
            return refused.into();
        }
        let requests = self.keys.iter().map(|key| request(session, node, key, Operation::Read(Read::All))).collect();
        Step::Ask(
            requests,
            Box::new(move |answers, node| {
                if let Some(refused) = first_refusal(&answers, node) {
                    return refused.into();
                }
                let mut sets = Vec::with_capacity(answers.len());
                for answer in &answers {
                    let Answer::Found(found) = answer else { continue };
                    sets.push(match found.kind {
                        None | Some(CellKind::Score) => in_order(found),
                        Some(CellKind::Member) => {
                            found.of(CellKind::Member).map(|(name, _)| (name.to_vec(), 1.0)).collect()
                        }
                        Some(_) => return Reply::wrong_type().into(),
                    });
                }
                then(self.of(sets), self.with_scores)
            }),
        )
    }
}

fn show(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, algebra: Algebra) -> Step {
    match Combination::parse(arguments, 1, algebra) {
        Ok(of) => of.run(session, node, |all, with_scores| shown(all, with_scores).into()),
        Err(refused) => refused.at_once(node),
    }
}

pub(super) fn zunion(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    show(arguments, session, node, Algebra::Union)
}

pub(super) fn zinter(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    show(arguments, session, node, Algebra::Intersection)
}

pub(super) fn zdiff(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    show(arguments, session, node, Algebra::Difference)
}

pub(super) fn zintercard(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let keys = match COUNTED.of(arguments) {
        Ok(keys) => keys,
        Err(_) if parse_integer(arguments.get(1)).is_none_or(|count| count <= 0) => {
            return Reply::error("ERR at least 1 input key is needed for 'zintercard' command").into();
        }
        Err(_) => return Reply::error("ERR Number of keys can't be greater than number of args").into(),
    };
    let rest = 2 + keys.len();
    let limit = match limit(arguments, rest) {
        Ok(limit) => limit,
        Err(refused) => return refused.into(),
    };
    let of = Combination {
        algebra: Algebra::Intersection,
        weights: vec![1.0; keys.len()],
        keys: keys.into_iter().map(<[u8]>::to_vec).collect(),
        aggregate: Aggregate::Sum,
        with_scores: false,
    };
    of.run(session, node, move |all, _| Reply::count(all.len().min(limit)).into())
}

/// Puts the members in the place of whatever is there, and tells how many there are.
pub(in crate::command) fn put(to: &[u8], all: Vec<Scored>, event: &str, asker: &Asker, node: &Arc<Node>) -> Step {
    let count = all.len();
    let contents = Contents::Sorted(all.into_iter().map(|(member, score)| (ByteString(member), score)).collect());
    call_at(to, &Call::store(event, to, contents), asker, node).map_reply(move |reply| match reply {
        Reply::Integer(_) => Reply::count(count),
        refused => refused,
    })
}

fn store(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, algebra: Algebra) -> Step {
    let (to, asker, keeper) = (arguments.get(1).to_vec(), Asker::of(session), Arc::clone(node));
    if let Err(refused) = check_name(node, &to) {
        return refused.into();
    }
    let event = match algebra {
        Algebra::Intersection => "zinterstore",
        Algebra::Union => "zunionstore",
        Algebra::Difference => "zdiffstore",
    };
    match Combination::parse(arguments, 2, algebra) {
        Ok(of) => of.run(session, node, move |all, _| put(&to, all, event, &asker, &keeper)),
        Err(refused) => refused.at_once(node),
    }
}

pub(super) fn zunionstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Union)
}

pub(super) fn zinterstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Intersection)
}

pub(super) fn zdiffstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Difference)
}

pub(super) fn zrangestore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = Ranged::parse(arguments, 3, false) {
        return refused.at_once(node);
    }
    let (to, from, asker) = (arguments.get(1).to_vec(), arguments.get(2), Asker::of(session));
    if let Err(refused) = check_name(node, &to).and_then(|()| check_name(node, from)) {
        return refused.into();
    }
    let keeper = Arc::clone(node);
    let words = std::iter::once(&b"ZRANGE"[..]).chain(arguments.skip(2)).map(ByteString::from).collect();
    let ranged = Read::Call(Call::Ranged(words).encode());
    Step::ask_one(request(session, node, from, Operation::Read(ranged)), move |answer, node| match answer {
        Answer::Found(found) => match said(&found.said.0) {
            Reply::Pairs(pairs) => {
                put(&to, pairs.into_iter().filter_map(scored).collect(), "zrangestore", &asker, &keeper)
            }
            refused => refused.into(),
        },
        other => crate::command::refusal(&other, node).into(),
    })
}

/// The members with scores that a `ZRANGE` of these arguments would show.
pub(crate) fn members(arguments: &Arguments<'_>, keys: &Keys<'_, '_>) -> Done {
    Ok(shown(Ranged::parse(arguments, 2, false)?.find(keys, arguments.get(1))?, true))
}

fn scored(pair: (Reply, Reply)) -> Option<Scored> {
    match pair {
        (Reply::Bulk(member), Reply::Double(score)) => Some((member.to_vec(), score)),
        _ => None,
    }
}
