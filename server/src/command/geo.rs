//! Places: a sorted set whose scores are Redis' 52 bits of latitude and longitude, so that every command on sorted sets works on them.

use std::sync::Arc;

use replica::{Answer, ByteString, CellId, CellKind, Found, Keys, Operation, Read};

use crate::command::arguments::parse_float;
use crate::command::refusal::{Done, Refused, refusal};
use crate::command::requests::{Asker, check_name, request};
use crate::command::sorted::{put, zadd, zadd_there};
use crate::command::{Arguments, Command, ONE_KEY, READ, TWO_KEYS, WRITE, WRITE_IN_TURN, here, read_kind};
use crate::dump::score_of;
use crate::gather::Step;
use crate::geo::{Area, Place};
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

const GROUP: &str = "geo";

pub(super) static COMMANDS: &[Command] = &[
    here("GEOADD", -5, WRITE, ONE_KEY, GROUP, "Puts members at places.", add).and_there(add_there),
    here("GEOPOS", -2, READ, ONE_KEY, GROUP, "Where members are.", positions),
    here("GEODIST", -4, READ, ONE_KEY, GROUP, "How far one member is from another.", distance),
    here("GEOHASH", -2, READ, ONE_KEY, GROUP, "Where members are, as geohashes.", hashes),
    here("GEOSEARCH", -7, READ, ONE_KEY, GROUP, "Members within a circle or box.", search),
    here(
        "GEOSEARCHSTORE",
        -8,
        WRITE_IN_TURN,
        TWO_KEYS,
        GROUP,
        "Keeps members within a circle or box; reads, then writes.",
        search_and_store,
    ),
    here("GEORADIUS", -6, WRITE_IN_TURN, ONE_KEY, GROUP, "Members within a circle; perhaps keeps them.", radius),
    here("GEORADIUS_RO", -6, READ, ONE_KEY, GROUP, "Members within a circle.", radius_only_read),
    here(
        "GEORADIUSBYMEMBER",
        -5,
        WRITE_IN_TURN,
        ONE_KEY,
        GROUP,
        "Members within a circle around one; perhaps keeps them.",
        radius_of_member,
    ),
    here(
        "GEORADIUSBYMEMBER_RO",
        -5,
        READ,
        ONE_KEY,
        GROUP,
        "Members within a circle around one.",
        radius_of_member_only_read,
    ),
];

fn place(arguments: &Arguments<'_>, at: usize) -> Result<Place, Refused> {
    let (longitude, latitude) = (arguments.float(at)?, arguments.float(at + 1)?);
    let invalid = || Reply::error(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"));
    Ok(Place::new(longitude, latitude).ok_or_else(invalid)?)
}

/// How many metres a unit has.
fn unit(arguments: &Arguments<'_>, at: usize) -> Result<f64, Refused> {
    Ok(match arguments.word(at).as_str() {
        "M" => 1.0,
        "KM" => 1_000.0,
        "FT" => 0.304_8,
        "MI" => 1_609.34,
        _ => return Err(Reply::error("ERR unsupported unit provided. please use M, KM, FT, MI").into()),
    })
}

/// The same as a ZADD.
fn as_zadd(arguments: &Arguments<'_>) -> Result<Vec<ByteString>, Refused> {
    let mut first = 2;
    while first < arguments.len() && ["NX", "XX", "CH"].iter().any(|word| arguments.is(first, word)) {
        first += 1;
    }
    let has = |word| (2..first).any(|at| arguments.is(at, word));
    if !(arguments.len() - first).is_multiple_of(3) || has("NX") && has("XX") {
        return Err(Reply::syntax_error().into());
    }
    let mut words = vec![ByteString::from("ZADD")];
    words.extend((1..first).map(|at| ByteString::from(arguments.get(at))));
    for at in (first..arguments.len()).step_by(3) {
        let score = place(arguments, at)?.score();
        words.extend([ByteString::from(score.to_string()), ByteString::from(arguments.get(at + 2))]);
    }
    Ok(words)
}

fn add(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match as_zadd(arguments) {
        Ok(words) => zadd(&Arguments::kept(&words), session, node),
        Err(refused) => refused.at_once(node),
    }
}

fn add_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    zadd_there(&Arguments::kept(&as_zadd(arguments)?), keys, node)
}

/// Reads where members are, and tells something of each.
fn of_members(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Node,
    tell: impl FnOnce(Vec<Option<Place>>) -> Reply + 'static,
    members: std::ops::Range<usize>,
) -> Step {
    let cells: Vec<CellId> = members.map(|at| CellId::score(arguments.get(at))).collect();
    if let Some(refused) = cells.iter().find_map(|cell| check_name(node, &cell.name).err()) {
        return refused.into();
    }
    let mut wanted = cells.clone();
    wanted.sort();
    wanted.dedup();
    read_kind(session, node, arguments.get(1), Read::Cells(wanted), CellKind::Score, move |found| {
        tell(cells.iter().map(|cell| place_of(&found, cell)).collect())
    })
}

fn place_of(found: &Found, cell: &CellId) -> Option<Place> {
    found.cell(cell).and_then(|state| score_of(&state.live)).map(Place::of_score)
}

/// A coordinate in the digits that Redis gives it.
fn coordinate(degrees: f64) -> Reply {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Reply::Decimal(if text == "-0" { "0" } else { text }.to_owned())
}

fn coordinates(place: Place) -> Reply {
    Reply::Array(vec![coordinate(place.longitude), coordinate(place.latitude)])
}

fn positions(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let tell = |places: Vec<Option<Place>>| {
        Reply::Array(places.into_iter().map(|place| place.map_or(Reply::NullArray, coordinates)).collect())
    };
    of_members(arguments, session, node, tell, 2..arguments.len())
}

fn hashes(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let tell = |places: Vec<Option<Place>>| Reply::array(places.into_iter().map(|place| place.map(Place::hash)));
    of_members(arguments, session, node, tell, 2..arguments.len())
}

fn distance(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let metres = match arguments.len() {
        4 => Ok(1.0),
        5 => unit(arguments, 4),
        _ => Err(Reply::syntax_error().into()),
    };
    let metres = match metres {
        Ok(metres) => metres,
        Err(refused) => return refused.at_once(node),
    };
    let tell = move |places: Vec<Option<Place>>| match places.as_slice() {
        [Some(from), Some(to)] => length(from.distance_m(*to) / metres),
        _ => Reply::Null,
    };
    of_members(arguments, session, node, tell, 2..4)
}

fn length(length: f64) -> Reply {
    Reply::bulk(format!("{length:.4}"))
}

/// Which of the commands it is, as far as they take different words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Search,
    SearchAndStore,
    Radius,
    RadiusOnlyRead,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchAndStore)
    }
}

/// Around what is searched.
enum Middle {
    Place(Place),
    Member(Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    None,
    Nearest,
    Farthest,
}

/// Where what was found is kept, and under which scores.
struct Target {
    key: Vec<u8>,
    event: &'static str,
    by_distance: bool,
}

struct Search {
    middle: Middle,
    area: Area,
    /// The metres of the unit that distances are told in.
    metres: f64,
    with_coordinates: bool,
    with_distance: bool,
    with_score: bool,
    order: Order,
    count: Option<usize>,
    target: Option<Target>,
}

/// What was said of a search so far.
#[derive(Default)]
struct Said {
    middle: Option<Middle>,
    area: Option<(Area, f64)>,
}

fn amount(arguments: &Arguments<'_>, at: usize, what: &str) -> Result<f64, Refused> {
    let number = parse_float(arguments.get(at));
    Ok(number.ok_or_else(|| Reply::error(format!("ERR need numeric {what}")))?)
}

fn circle(arguments: &Arguments<'_>, at: usize) -> Result<(Area, f64), Refused> {
    let radius = amount(arguments, at, "radius")?;
    if radius < 0.0 {
        return Err(Reply::error("ERR radius cannot be negative").into());
    }
    let metres = unit(arguments, at + 1)?;
    Ok((Area::Circle(radius * metres), metres))
}

fn rectangle(arguments: &Arguments<'_>, at: usize) -> Result<(Area, f64), Refused> {
    let (width, height) = (amount(arguments, at, "width")?, amount(arguments, at + 1, "height")?);
    if width < 0.0 || height < 0.0 {
        return Err(Reply::error("ERR height or width cannot be negative").into());
    }
    let metres = unit(arguments, at + 2)?;
    Ok((Area::Box(width * metres, height * metres), metres))
}

impl Search {
    fn parse(arguments: &Arguments<'_>, form: Form, said: Said, from: usize) -> Result<Self, Refused> {
        let Said { mut middle, mut area } = said;
        let (mut with_coordinates, mut with_distance, mut with_score) = (false, false, false);
        let (mut order, mut count, mut any, mut at) = (Order::None, None, false, from);
        let mut target = (form == Form::SearchAndStore).then(|| Target {
            key: arguments.get(1).to_vec(),
            event: "geosearchstore",
            by_distance: false,
        });
        while at < arguments.len() {
            let follow = arguments.len() - at - 1;
            let is_search = form.is_search();
            match arguments.word(at).as_str() {
                "WITHDIST" => with_distance = true,
                "WITHHASH" => with_score = true,
                "WITHCOORD" => with_coordinates = true,
                "ANY" => any = true,
                "ASC" => order = Order::Nearest,
                "DESC" => order = Order::Farthest,
                "COUNT" if follow > 0 => {
                    let number = arguments.integer(at + 1)?;
                    let number = usize::try_from(number).ok().filter(|number| *number > 0);
                    count = Some(number.ok_or_else(|| Reply::error("ERR COUNT must be > 0"))?);
                    at += 1;
                }
                word @ ("STORE" | "STOREDIST") if follow > 0 && form == Form::Radius => {
                    let (key, by_distance) = (arguments.get(at + 1).to_vec(), word == "STOREDIST");
                    target = Some(Target { key, event: "georadiusstore", by_distance });
                    at += 1;
                }
                "STOREDIST" if form == Form::SearchAndStore => {
                    target.iter_mut().for_each(|target| target.by_distance = true);
                }
                "FROMMEMBER" if follow > 0 && is_search && middle.is_none() => {
                    middle = Some(Middle::Member(arguments.get(at + 1).to_vec()));
                    at += 1;
                }
                "FROMLONLAT" if follow > 1 && is_search && middle.is_none() => {
                    middle = Some(Middle::Place(place(arguments, at + 1)?));
                    at += 2;
                }
                "BYRADIUS" if follow > 1 && is_search && area.is_none() => {
                    area = Some(circle(arguments, at + 1)?);
                    at += 2;
                }
                "BYBOX" if follow > 2 && is_search && area.is_none() => {
                    area = Some(rectangle(arguments, at + 1)?);
                    at += 3;
                }
                _ => return Err(Reply::syntax_error().into()),
            }
            at += 1;
        }
        if target.is_some() && (with_coordinates || with_distance || with_score) {
            let who = if form == Form::SearchAndStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let why = format!("ERR {who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(Reply::error(why).into());
        }
        let missing = |words: &str| {
            Reply::error(format!("ERR exactly one of {words} can be specified for {}", arguments.text(0)))
        };
        let middle = middle.ok_or_else(|| missing("FROMMEMBER or FROMLONLAT"))?;
        let (area, metres) = area.ok_or_else(|| missing("BYRADIUS and BYBOX"))?;
        if any && count.is_none() {
            return Err(Reply::error("ERR the ANY argument requires COUNT argument").into());
        }
        if count.is_some() && order == Order::None && !any {
            order = Order::Nearest;
        }
        Ok(Self { middle, area, metres, with_coordinates, with_distance, with_score, order, count, target })
    }

    fn run(self, key: &[u8], session: &Session, node: &Arc<Node>) -> Step {
        let named = check_name(node, key).and_then(|()| match &self.target {
            Some(target) => check_name(node, &target.key),
            None => Ok(()),
        });
        if let Err(refused) = named {
            return refused.into();
        }
        let (asker, all) = (Asker::of(session), request(session, node, key, Operation::Read(Read::All)));
        Step::ask_one(all, move |answer, node| match answer {
            Answer::Found(found) => match self.found(&found) {
                Ok(hits) => self.finish(hits, &asker, node),
                Err(refused) => refused.into(),
            },
            other => refusal(&other, node).into(),
        })
    }

    fn found(&self, found: &Found) -> Result<Vec<Hit>, Reply> {
        match found.kind {
            None => return Ok(Vec::new()),
            Some(CellKind::Score) => {}
            Some(_) => return Err(Reply::wrong_type()),
        }
        let middle = match &self.middle {
            Middle::Place(place) => *place,
            Middle::Member(member) => place_of(found, &CellId::score(member.clone()))
                .ok_or_else(|| Reply::error("ERR could not decode requested zset member"))?,
        };
        let hit = |(member, score): (&[u8], f64)| {
            let place = Place::of_score(score);
            let distance_m = self.area.distance_m(middle, place)?;
            Some(Hit { member: member.to_vec(), score, place, distance: distance_m / self.metres })
        };
        let scored = found.of(CellKind::Score).filter_map(|(name, cell)| Some((name, score_of(&cell.live)?)));
        let mut hits: Vec<Hit> = scored.filter_map(hit).collect();
        match self.order {
            Order::None => hits.sort_by(|one, other| one.score.total_cmp(&other.score)),
            Order::Nearest => hits.sort_by(|one, other| one.distance.total_cmp(&other.distance)),
            Order::Farthest => hits.sort_by(|one, other| other.distance.total_cmp(&one.distance)),
        }
        hits.truncate(self.count.unwrap_or(usize::MAX));
        Ok(hits)
    }

    fn finish(self, hits: Vec<Hit>, asker: &Asker, node: &Arc<Node>) -> Step {
        let Some(Target { key, event, by_distance }) = &self.target else {
            return Reply::Array(hits.into_iter().map(|hit| self.show(hit)).collect()).into();
        };
        let scored = hits.into_iter().map(|hit| (hit.member, if *by_distance { hit.distance } else { hit.score }));
        put(key, scored.collect(), event, asker, node)
    }

    fn show(&self, hit: Hit) -> Reply {
        let member = Reply::bulk(hit.member);
        if !self.with_distance && !self.with_score && !self.with_coordinates {
            return member;
        }
        let mut shown = vec![member];
        shown.extend(self.with_distance.then(|| length(hit.distance)));
        shown.extend(self.with_score.then_some(Reply::Integer(hit.score as i64)));
        shown.extend(self.with_coordinates.then(|| coordinates(hit.place)));
        Reply::Array(shown)
    }
}

/// A member within the area.
struct Hit {
    member: Vec<u8>,
    score: f64,
    place: Place,
    /// In the unit that was asked for.
    distance: f64,
}

fn start(found: Result<Search, Refused>, key: &[u8], session: &Session, node: &Arc<Node>) -> Step {
    match found {
        Ok(search) => search.run(key, session, node),
        Err(refused) => refused.at_once(node),
    }
}

fn search(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(Search::parse(arguments, Form::Search, Said::default(), 2), arguments.get(1), session, node)
}

fn search_and_store(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(Search::parse(arguments, Form::SearchAndStore, Said::default(), 3), arguments.get(2), session, node)
}

fn around_place(arguments: &Arguments<'_>, form: Form) -> Result<Search, Refused> {
    let middle = Some(Middle::Place(place(arguments, 2)?));
    Search::parse(arguments, form, Said { middle, area: Some(circle(arguments, 4)?) }, 6)
}

fn around_member(arguments: &Arguments<'_>, form: Form) -> Result<Search, Refused> {
    let middle = Some(Middle::Member(arguments.get(2).to_vec()));
    Search::parse(arguments, form, Said { middle, area: Some(circle(arguments, 3)?) }, 5)
}

fn radius(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(around_place(arguments, Form::Radius), arguments.get(1), session, node)
}

fn radius_only_read(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(around_place(arguments, Form::RadiusOnlyRead), arguments.get(1), session, node)
}

fn radius_of_member(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(around_member(arguments, Form::Radius), arguments.get(1), session, node)
}

fn radius_of_member_only_read(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    start(around_member(arguments, Form::RadiusOnlyRead), arguments.get(1), session, node)
}
