//! Places on the earth as scores of a sorted set, as Redis has them: 26 bits of latitude and of longitude, interleaved, are a whole
//! number below 2^52, which a double holds exactly. (Geohash is Morton's order on the plate carrée; the latitudes are those of the
//! web's Mercator maps.)

/// The mean radius of the earth that Redis reckons with, in metres.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// How many bits each coordinate has.
const BITS: u32 = 26;
const LONGITUDES: Span = Span { least: -180.0, greatest: 180.0 };
const LATITUDES: Span = Span { least: -85.051_128_78, greatest: 85.051_128_78 };
/// The latitudes of a geohash as others write it.
const ALL_LATITUDES: Span = Span { least: -90.0, greatest: 90.0 };
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// How long a geohash is as text: the last of its characters stands for bits that a score does not have.
const HASH_CHARACTERS: u32 = 11;

/// From one coordinate to another.
#[derive(Clone, Copy)]
struct Span {
    least: f64,
    greatest: f64,
}

impl Span {
    fn contains(self, at: f64) -> bool {
        (self.least..=self.greatest).contains(&at)
    }

    /// In which of the 2^26 cells it is.
    fn cell(self, at: f64) -> u64 {
        let share = (at - self.least) / (self.greatest - self.least);
        // The greatest of all is beyond the last cell, and Redis takes as many bits of it.
        (share * f64::from(1_u32 << BITS)) as u64
    }

    /// The middle of a cell.
    fn middle(self, cell: u64) -> f64 {
        let (cells, scale) = (f64::from(1_u32 << BITS), self.greatest - self.least);
        let edge = |cell: u64| self.least + (cell as f64 / cells) * scale;
        let middle = (edge(cell) + edge(cell + 1)) / 2.0;
        middle.clamp(self.least, self.greatest)
    }
}

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

impl Place {
    /// One that a score can stand for.
    #[must_use]
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        (LONGITUDES.contains(longitude) && LATITUDES.contains(latitude)).then_some(Self { longitude, latitude })
    }

    /// Its score.
    #[must_use]
    pub fn score(self) -> u64 {
        self.interleaved(LATITUDES)
    }

    /// Where a score points to: the middle of its cell.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        let bits = score as u64;
        Self { longitude: LONGITUDES.middle(every_second(bits >> 1)), latitude: LATITUDES.middle(every_second(bits)) }
    }

    /// Its geohash, as everybody writes it.
    #[must_use]
    pub fn hash(self) -> String {
        let bits = self.interleaved(ALL_LATITUDES);
        let character = |at: u32| match 2 * BITS >= (at + 1) * 5 {
            true => ALPHABET[(bits >> (2 * BITS - (at + 1) * 5)) as usize & 31],
            false => ALPHABET[0],
        };
        (0..HASH_CHARACTERS).map(|at| char::from(character(at))).collect()
    }

    fn interleaved(self, latitudes: Span) -> u64 {
        spread(latitudes.cell(self.latitude)) | spread(LONGITUDES.cell(self.longitude)) << 1
    }

    /// How far it is to another place on a sphere, in metres (the haversine formula).
    #[must_use]
    pub fn distance_m(self, to: Self) -> f64 {
        let v = ((to.longitude.to_radians() - self.longitude.to_radians()) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance_m(to);
        }
        let (from, upto) = (self.latitude.to_radians(), to.latitude.to_radians());
        let u = ((upto - from) / 2.0).sin();
        2.0 * EARTH_RADIUS_M * (u * u + from.cos() * upto.cos() * v * v).sqrt().asin()
    }

    fn latitude_distance_m(self, to: Self) -> f64 {
        EARTH_RADIUS_M * (to.latitude.to_radians() - self.latitude.to_radians()).abs()
    }
}

/// What is searched, around a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// A circle, by its radius in metres.
    Circle(f64),
    /// A box, by its width and height in metres.
    Box(f64, f64),
}

impl Area {
    /// How far a place is from the middle, if it is within.
    #[must_use]
    pub fn distance_m(self, middle: Place, to: Place) -> Option<f64> {
        let distance_m = middle.distance_m(to);
        let is_within = match self {
            Area::Circle(radius_m) => distance_m <= radius_m,
            Area::Box(width_m, height_m) => {
                let beside = Place { longitude: middle.longitude, latitude: to.latitude };
                to.latitude_distance_m(middle) <= height_m / 2.0 && to.distance_m(beside) <= width_m / 2.0
            }
        };
        is_within.then_some(distance_m)
    }
}

/// Puts a zero before each of the lower 32 bits.
fn spread(bits: u64) -> u64 {
    let mut bits = bits & 0xffff_ffff;
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The bits at even places, together.
fn every_second(bits: u64) -> u64 {
    (0..32).fold(0, |all, at| all | (bits >> (2 * at) & 1) << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Palermo and Catania, as Redis' documentation has them.
    #[test]
    fn scores_hashes_and_distances_are_those_of_redis() {
        let palermo = Place::new(13.361389, 38.115556).expect("a place");
        let catania = Place::new(15.087269, 37.502669).expect("a place");
        assert_eq!((palermo.score(), catania.score()), (3_479_099_956_230_698, 3_479_447_370_796_909));
        let [palermo, catania] = [palermo, catania].map(|place| Place::of_score(place.score() as f64));
        assert_eq!((palermo.hash().as_str(), catania.hash().as_str()), ("sqc8b49rny0", "sqdtr74hyu0"));
        assert_eq!(format!("{:.4}", palermo.distance_m(catania)), "166274.1516");
    }

    #[test]
    fn a_score_is_that_of_the_place_it_points_to() {
        for seed in 0..1_000 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let longitude = chance.f64() * 360.0 - 180.0;
            let place = Place::new(longitude, chance.f64() * 170.0 - 85.0).expect("a place");
            let again = Place::of_score(place.score() as f64);
            assert_eq!(again.score(), place.score());
            assert!(again.distance_m(place) < 1.0, "{place:?}");
        }
        assert_eq!(Place::new(180.1, 0.0), None);
        assert_eq!(Place::new(0.0, f64::NAN), None);
    }
}
