//! A trip planned on two devices without a network: a document of maps, sets, counters and text, kept in files.
//!
//! Each device has its file; it is written after each edit and read at each start. When they meet, one sends what it has
//! seen, and the other what is missing, nothing else.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use causal::Minter;
use crdt::{Delta, Digest, Document, Edit, Replica, Scalar, State};

type Trip = Document<String>;
type Outcome<T> = Result<T, Box<dyn Error>>;

struct Device {
    file: PathBuf,
    trip: Replica<Trip>,
}

impl Device {
    /// Starts from its file, if there is one. A name for each start: what an earlier one wrote and did not store is its own.
    fn start(folder: &Path, device: &str, start: u32) -> Outcome<Self> {
        let file = folder.join(device);
        let state = if file.exists() { State::from_bytes(&fs::read(&file)?)? } else { State::new() };
        let trip = Replica::recover(state, Minter::once(format!("{device} {start}")))?;
        Ok(Self { file, trip })
    }

    fn edit(&mut self, change: impl FnOnce(&mut Edit<'_, Trip>) -> Result<(), crdt::Error<String>>) -> Outcome<()> {
        let _ = self.trip.edit(change)?; // not sent: nobody is there
        self.store()
    }

    fn store(&self) -> Outcome<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, self.trip.state().to_bytes())?;
        Ok(fs::rename(new, &self.file)?)
    }

    /// What it has seen, as bytes.
    fn digest(&self) -> Vec<u8> {
        self.trip.state().digest().to_bytes()
    }

    /// What somebody with this digest lacks, as bytes.
    fn answer(&self, digest: &[u8]) -> Outcome<Vec<u8>> {
        Ok(self.trip.state().diff(&Digest::from_bytes(digest)?).to_bytes())
    }

    fn take_in(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.trip.apply(&Delta::from_bytes(bytes)?)?;
        self.store()
    }
}

fn shown(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Integer(value) => value.to_string(),
        Scalar::Text(value) => value.clone(),
        Scalar::Bytes(value) => format!("{} bytes", value.len()),
    }
}

fn show(place: &Trip, name: &str, depth: usize) {
    let mut values: Vec<String> = Vec::new();
    values.extend(place.register().map(|it| it.values().map(shown).collect::<Vec<_>>().join(" or ")));
    values.extend(place.counter().map(|it| it.value().to_string()));
    values.extend(place.set().map(|it| format!("{{{}}}", it.iter().map(shown).collect::<Vec<_>>().join(", "))));
    values.extend(place.text().map(|it| format!("\"{it}\"")));
    println!("{}", format!("{:1$}{name}: {2}", "", 2 * depth, values.join(" / ")).trim_end());
    for (key, inner) in place.map().into_iter().flat_map(|map| map.iter()) {
        show(inner, key, depth + 1);
    }
}

fn main() -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("trip-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut phone = Device::start(&folder, "phone", 1)?;
    phone.edit(|trip| {
        trip.map().at("where").register().write("Lisbon".into())?;
        trip.map().at("bring").set().add("tent")?;
        trip.map().at("notes").text().push("Trains leave at nine.")?;
        trip.map().at("costs").map().at("food").counter().add(40)
    })?;
    let mut laptop = Device::start(&folder, "laptop", 1)?;
    laptop.take_in(&phone.answer(&laptop.digest())?)?;

    // Both are offline from here on, and the phone is switched off and on.
    phone.edit(|trip| trip.map().at("where").register().write("Porto".into()))?;
    drop(phone);
    let mut phone = Device::start(&folder, "phone", 2)?;
    phone.edit(|trip| {
        trip.map().at("bring").set().add("stove")?;
        trip.map().at("costs").map().at("food").counter().add(15)?;
        trip.map().at("notes").text().insert(16, "half past ")
    })?;
    laptop.edit(|trip| {
        trip.map().at("where").register().write("Braga".into())?;
        trip.map().at("bring").set().remove("tent")?;
        trip.remove("costs")?;
        trip.map().at("costs").map().at("hut").counter().add(60)
    })?;

    println!("-- on the phone --");
    show(&phone.trip, "trip", 0);
    println!("-- on the laptop --");
    show(&laptop.trip, "trip", 0);

    let (missing_there, missing_here) = (phone.answer(&laptop.digest())?, laptop.answer(&phone.digest())?);
    laptop.take_in(&missing_there)?;
    phone.take_in(&missing_here)?;
    println!("-- they have met: {} and {} bytes --", missing_there.len(), missing_here.len());
    show(&phone.trip, "trip", 0);
    assert_eq!(fs::read(&phone.file)?, fs::read(&laptop.file)?, "equal states are equal bytes");
    fs::remove_dir_all(&folder)?;
    Ok(())
}
