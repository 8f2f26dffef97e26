//! The byte format against its test vectors (written by a second implementation in another language), serde, and
//! mutated bytes.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fmt::Debug;
use std::time::{Duration, Instant};

use causal::{
    ActorBytes, CausalContext, DecodeError, Dot, DvvSet, Incarnation, Run, Seal, Siblings, Token, VersionVector,
    Versions,
};
use quickcheck::{Arbitrary, Gen, quickcheck};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

fn vectors(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../format/vectors.json")).unwrap();
    all[section].as_array().unwrap().clone()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// An actor as the vectors write it.
trait Written: ActorBytes + Debug {
    fn written(value: &Value) -> Self;
}

impl Written for u8 {
    fn written(value: &Value) -> Self {
        value.as_u64().unwrap() as u8
    }
}

/// Those beyond 2^53 are written as texts: not every JSON reader keeps them.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

impl Written for u64 {
    fn written(value: &Value) -> Self {
        number(value)
    }
}

impl Written for [u8; 2] {
    fn written(value: &Value) -> Self {
        bytes(value).try_into().unwrap()
    }
}

impl Written for Uuid {
    fn written(value: &Value) -> Self {
        value.as_str().unwrap().parse().unwrap()
    }
}

impl Written for String {
    fn written(value: &Value) -> Self {
        value.as_str().unwrap().to_owned()
    }
}

impl Written for Incarnation<String> {
    fn written(value: &Value) -> Self {
        Incarnation { node: String::written(&value[0]), number: value[1].as_u64().unwrap() }
    }
}

fn context<A: Written>(seen: &Value) -> CausalContext<A> {
    let mut context = CausalContext::new();
    for entry in seen.as_array().unwrap() {
        for run in entry[1].as_array().unwrap() {
            let run = Run { first: number(&run[0]), last: number(&run[1]) };
            context.insert_run(A::written(&entry[0]), run);
        }
    }
    context
}

fn set<A: Written>(vector: &Value) -> Siblings<A, Vec<u8>> {
    let live = vector["live"].as_array().unwrap().iter();
    let live = live.map(|dot| (Dot::new(A::written(&dot[0]), dot[1].as_u64().unwrap()), bytes(&dot[2])));
    Siblings::from_parts(live.collect(), context(&vector["seen"]))
}

fn check_context<A: Written>(vector: &Value) {
    let (context, bytes) = (context::<A>(&vector["seen"]), bytes(&vector["bytes"]));
    assert_eq!(context.to_bytes(), bytes, "{vector}");
    assert_eq!(CausalContext::from_bytes(&bytes).as_ref(), Ok(&context), "{vector}");
    match VersionVector::try_from(&context) {
        Ok(vector) => assert_eq!((vector.to_bytes(), VersionVector::from_bytes(&bytes)), (bytes, Ok(vector))),
        Err(_) => assert_eq!(VersionVector::<A>::from_bytes(&bytes).unwrap_err().reason, causal::Reason::HasGaps),
    }
}

fn check_set<A: Written>(vector: &Value) {
    let (set, bytes) = (set::<A>(vector), bytes(&vector["bytes"]));
    assert_eq!(set.to_bytes(), bytes, "{vector}");
    assert_eq!(Siblings::from_bytes(&bytes).as_ref(), Ok(&set), "{vector}");
    assert_eq!(Versions::<A, Vec<u8>>::from_bytes(&bytes).unwrap().to_bytes(), bytes, "one set, one byte string");
    match DvvSet::try_from(&set) {
        Ok(dense) => assert_eq!((dense.to_bytes(), DvvSet::from_bytes(&bytes)), (bytes, Ok(dense))),
        Err(_) => assert!(DvvSet::<A, Vec<u8>>::from_bytes(&bytes).is_err()),
    }
}

fn check_token<A: Written>(vector: &Value) {
    let (place, text) = (bytes(&vector["place"]), vector["text"].as_str().unwrap());
    let token = Token { context: context::<A>(&vector["seen"]), note: bytes(&vector["note"]) };
    if vector["secret"].is_null() {
        assert_eq!(
            (token.to_text(&place).as_deref(), Token::from_text(&place, text)),
            (Ok(text), Ok(token)),
            "{vector}"
        );
    } else {
        let seal = Seal::new(&bytes(&vector["secret"]).try_into().unwrap());
        assert_eq!(
            (seal.to_text(&token, &place).as_deref(), seal.from_text(&place, text)),
            (Ok(text), Ok(token)),
            "{vector}"
        );
    }
}

fn check_refused<A: Written>(vector: &Value) {
    let input = bytes(&vector["bytes"]);
    let refused: DecodeError = match vector["kind"].as_str().unwrap() {
        "context" => CausalContext::<A>::from_bytes(&input).unwrap_err(),
        _ => Siblings::<A, Vec<u8>>::from_bytes(&input).unwrap_err(),
    };
    let named = (refused.offset as u64, format!("{:?}", refused.reason));
    assert_eq!(named, (vector["offset"].as_u64().unwrap(), vector["reason"].as_str().unwrap().to_owned()), "{vector}");
}

macro_rules! with_actor {
    ($check:ident, $vector:expr) => {
        match $vector["actor"].as_str().unwrap() {
            "u8" => $check::<u8>($vector),
            "u64" => $check::<u64>($vector),
            "2 bytes" => $check::<[u8; 2]>($vector),
            "uuid" => $check::<Uuid>($vector),
            "text" => $check::<String>($vector),
            "incarnation of text" => $check::<Incarnation<String>>($vector),
            other => panic!("no such actor: {other}"),
        }
    };
}

#[test]
fn every_test_vector_holds_in_both_directions() {
    let (contexts, sets, tokens) = (vectors("contexts"), vectors("sets"), vectors("tokens"));
    assert!(contexts.len() >= 8 && sets.len() >= 4 && tokens.len() >= 6);
    contexts.iter().for_each(|vector| with_actor!(check_context, vector));
    sets.iter().for_each(|vector| with_actor!(check_set, vector));
    tokens.iter().for_each(|vector| with_actor!(check_token, vector));
}

#[test]
fn every_refused_vector_is_refused_at_the_byte_and_for_the_reason_it_names() {
    let refused = vectors("refused");
    assert!(refused.len() >= 15);
    refused.iter().for_each(|vector| with_actor!(check_refused, vector));
}

#[test]
fn every_refused_token_is_refused_for_the_reason_it_names() {
    let refused = vectors("refused tokens");
    assert!(refused.len() >= 9);
    for vector in refused {
        let (place, text) = (bytes(&vector["place"]), vector["text"].as_str().unwrap());
        let error = Token::<u64>::from_text(&place, text).unwrap_err();
        assert_eq!(format!("{error:?}"), vector["error"].as_str().unwrap(), "{vector}");
    }
}

#[derive(Clone, Debug)]
struct Any(Siblings<u64, Vec<u8>>);

impl Arbitrary for Any {
    fn arbitrary(g: &mut Gen) -> Self {
        let dots = Vec::<(u8, u8, bool)>::arbitrary(g);
        let dot = |a: u8, n: u8| Dot::new(u64::from(a % 7) << 60, u64::from(n % 12) + 1);
        let live =
            dots.iter().filter(|(_, _, live)| *live).map(|(a, n, _)| (dot(*a, *n), vec![*n; usize::from(a % 3)]));
        Self(Siblings::from_parts(live.collect(), dots.iter().map(|(a, n, _)| dot(*a, *n)).collect()))
    }
}

fn round_trips<T: Serialize + for<'de> Deserialize<'de> + PartialEq>(value: &T) -> bool {
    let (json, binary) = (serde_json::to_string(value).unwrap(), postcard::to_allocvec(value).unwrap());
    serde_json::from_str::<T>(&json).unwrap() == *value && postcard::from_bytes::<T>(&binary).unwrap() == *value
}

quickcheck! {
    fn sets_round_trip_as_bytes_and_through_serde(set: Any) -> bool {
        let Any(set) = set;
        let versions = Versions::from(set.clone());
        Siblings::from_bytes(&set.to_bytes()).as_ref() == Ok(&set)
            && versions.to_bytes() == set.to_bytes()
            && round_trips(&set)
            && round_trips(&versions)
            && round_trips(set.context())
            && DvvSet::try_from(&set).is_ok_and(|dense| round_trips(&dense)) == versions.is_dense()
    }

    fn equal_sets_are_equal_bytes_and_different_sets_are_not(left: Any, right: Any) -> bool {
        (left.0 == right.0) == (left.0.to_bytes() == right.0.to_bytes())
    }
}

#[test]
fn readable_formats_get_text_and_binary_ones_bytes() {
    let context: CausalContext<u64> = [Dot::new(7, 3)].into_iter().collect();
    assert_eq!(serde_json::to_string(&context).unwrap(), r#""EQAAAAAAAAAHCQ""#);
    assert_eq!(postcard::to_allocvec(&context).unwrap(), [9, 0, 0, 0, 0, 0, 0, 0, 7, 9]);
    assert_eq!(postcard::to_allocvec(&CausalContext::<u64>::new()).unwrap(), [0]);
    let set: Siblings<u64, &str> = Siblings::from_parts([(Dot::new(7, 3), "milk")].into_iter().collect(), context);
    let text = r#"{"live":[[{"actor":7,"counter":3},"milk"]],"context":"EQAAAAAAAAAHCQ"}"#;
    assert_eq!(serde_json::to_string(&set).unwrap(), text);
    let never_seen = text.replace("\"counter\":3", "\"counter\":4");
    let refused = serde_json::from_str::<Siblings<u64, String>>(&never_seen).unwrap_err();
    assert!(refused.to_string().contains("never seen"), "{refused}");
    let twice = text
        .replace(r#"[[{"actor":7,"counter":3},"milk"]]"#, &format!("[{0},{0}]", r#"[{"actor":7,"counter":3},"milk"]"#));
    assert!(serde_json::from_str::<Siblings<u64, String>>(&twice).unwrap_err().to_string().contains("strictly ascend"));
    for counter in ["0", "4611686018427387904"] {
        let beyond = text.replace("\"counter\":3", &format!("\"counter\":{counter}"));
        assert!(
            serde_json::from_str::<Siblings<u64, String>>(&beyond).unwrap_err().to_string().contains("counts from 1")
        );
    }
}

/// Every input that is a bit like a real one: decodes to something that encodes to it, or is an error.
fn decode_all(input: &[u8]) {
    fn again<T, E>(input: &[u8], decoded: Result<T, E>, encode: impl Fn(&T) -> Vec<u8>) {
        if let Ok(value) = decoded {
            assert_eq!(encode(&value), input);
        }
    }
    again(input, CausalContext::<u64>::from_bytes(input), CausalContext::to_bytes);
    again(input, CausalContext::<u8>::from_bytes(input), CausalContext::to_bytes);
    again(input, CausalContext::<String>::from_bytes(input), CausalContext::to_bytes);
    again(input, CausalContext::<Incarnation<String>>::from_bytes(input), CausalContext::to_bytes);
    again(input, VersionVector::<u8>::from_bytes(input), VersionVector::to_bytes);
    again(input, Siblings::<u8, Vec<u8>>::from_bytes(input), Siblings::to_bytes);
    again(input, Siblings::<u64, String>::from_bytes(input), Siblings::to_bytes);
    again(input, DvvSet::<u8, Vec<u8>>::from_bytes(input), DvvSet::to_bytes);
    again(input, Token::<u64>::from_text(b"cart", input), |token| token.to_text(b"cart").unwrap().into_bytes());
    let seal = Seal::new(&[42; 32]);
    again(input, seal.from_text::<u64>(b"cart", input), |token| seal.to_text(token, b"cart").unwrap().into_bytes());
    let _ = postcard::from_bytes::<Versions<u64, String>>(input);
    let _ = serde_json::from_slice::<Siblings<u64, String>>(input);
}

/// The corpus: every vector, accepted and refused.
fn corpus() -> Vec<Vec<u8>> {
    let hex = ["contexts", "sets", "refused"].map(vectors).concat();
    let texts = vectors("tokens").into_iter().map(|token| token["text"].as_str().unwrap().as_bytes().to_vec());
    let json = Siblings::from_parts([(Dot::new(7u64, 3), "milk")].into_iter().collect(), CausalContext::new());
    let json = serde_json::to_vec(&json).unwrap();
    hex.iter().map(|vector| bytes(&vector["bytes"])).chain(texts).chain([json]).collect()
}

fn mutate(g: &mut Gen, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = usize::arbitrary(g) % (input.len() + 1);
    match u8::arbitrary(g) % 7 {
        0 if at < input.len() => input[at] ^= 1 << (u8::arbitrary(g) % 8),
        1 if at < input.len() => input[at] = *g.choose(&[0, 1, 0x7f, 0x80, 0xff, 0x11, 0x12]).unwrap(),
        2 if at < input.len() => drop(input.remove(at)),
        3 => input.insert(at, u8::arbitrary(g)),
        4 => input.truncate(at),
        5 => input.extend_from_within(at..),
        _ => input.extend_from_slice(&g.choose(corpus).unwrap()[..]),
    }
}

/// A second, or as many as the environment's `DOTTED_FUZZ_SECONDS` says.
#[test]
fn mutated_bytes_are_refused_or_decode_to_what_encodes_to_them() {
    let seconds = std::env::var("DOTTED_FUZZ_SECONDS").map_or(1, |text| text.parse().expect("a number of seconds"));
    let (end, corpus) = (Instant::now() + Duration::from_secs(seconds), corpus());
    let (mut g, mut inputs) = (Gen::new(64), 0u64);
    corpus.iter().for_each(|input| decode_all(input));
    while Instant::now() < end {
        let mut input = g.choose(&corpus).unwrap().clone();
        for _ in 0..=u8::arbitrary(&mut g) % 6 {
            mutate(&mut g, &mut input, &corpus);
        }
        if std::panic::catch_unwind(|| decode_all(&input)).is_err() {
            panic!("these bytes do it: {input:02x?}");
        }
        inputs += 1;
    }
    println!("{inputs} inputs");
}
