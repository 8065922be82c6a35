//! Eleven audiences: what happens to a stack on the days that matter.
//!
//! Seed 1 is each as it is described; every other seed moves its times, sizes and speeds.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::trace::{CONNECT_WORK, Expected, Loss, Trace};

/// The names of all, in the order of the table.
pub const NAMES: [&str; 11] = [
    "ramp", "morning", "storm", "heavy", "outage", "glitches", "lunch", "flash", "diurnal", "week",
    "noisy",
];

/// A trace by its name.
pub fn named(name: &str, seed: u64) -> Option<Trace> {
    let mut dice = Dice::new(seed);
    let make = match name {
        "ramp" => ramp,
        "morning" => morning,
        "storm" => storm,
        "heavy" => heavy,
        "outage" => outage,
        "glitches" => glitches,
        "lunch" => lunch,
        "flash" => flash,
        "diurnal" => diurnal,
        "week" => week,
        "noisy" => noisy,
        _ => return None,
    };
    let mut trace = make(&mut dice);
    name.clone_into(&mut trace.name);
    Some(trace)
}

/// Numbers around a middle; exactly the middle with seed 1.
struct Dice {
    random: StdRng,
    still: bool,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            still: seed == 1,
        }
    }

    /// Up to `share` more or less than `middle`.
    fn about(&mut self, middle: f64, share: f64) -> f64 {
        let offset = self.random.random_range(-share..share);
        middle * if self.still { 1.0 } else { 1.0 + offset }
    }

    fn second(&mut self, middle: f64, share: f64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time after the beginning"
        )]
        let second = self.about(middle, share) as usize;
        second
    }

    /// Of the normal distribution, nearly.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0
    }
}

/// What a calendar says of a moment of the trace.
fn date(second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time after the beginning"
    )]
    let date = second as u64;
    date
}

fn logistic(t: f64, middle: f64, width: f64) -> f64 {
    1.0 / (1.0 + ((middle - t) / width).exp())
}

fn over(seconds: u32, mut wanted: impl FnMut(f64) -> f64) -> Trace {
    Trace {
        name: String::new(),
        wanted: (0..seconds)
            .map(|second| wanted(f64::from(second)).max(0.0))
            .collect(),
        losses: Vec::new(),
        connect_work: CONNECT_WORK,
        expected: Vec::new(),
    }
}

impl Trace {
    /// Announced with its peak.
    fn announced(mut self, from: u64, until: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "people"
        )]
        let sessions = self.peak().ceil() as u32;
        self.expected.push(Expected {
            from,
            until,
            sessions,
        });
        self
    }

    fn losing(mut self, at: usize, share: f64, lasts: usize) -> Self {
        self.losses.push(Loss { at, share, lasts });
        self
    }
}

/// 600 people within a quarter of an hour, gone within ten minutes.
fn ramp(dice: &mut Dice) -> Trace {
    let (people, middle) = (dice.about(600.0, 0.2), dice.about(900.0, 0.2));
    let (width, end) = (dice.about(110.0, 0.3), dice.about(5_700.0, 0.05));
    let announced = (date(middle), date(end - 960.0));
    over(7_200, |t| {
        people * logistic(t, middle, width) * (1.0 - logistic(t, end, 90.0))
    })
    .announced(announced.0, announced.1)
}

/// 1 000 people over ten hours: registration, opening, coffee, lunch, end.
fn morning(dice: &mut Dice) -> Trace {
    let size = dice.about(1.0, 0.1);
    let (opening, width) = (dice.about(3_200.0, 0.05), dice.about(260.0, 0.3));
    let (coffee, lunch) = (dice.about(0.15, 0.5), dice.about(0.5, 0.3));
    over(36_000, |t| {
        let early = 150.0 * logistic(t, 1_500.0, 400.0);
        let people = size * (early + 850.0 * logistic(t, opening, width));
        people
            * (1.0 - coffee * (logistic(t, 9_000.0, 60.0) - logistic(t, 10_800.0, 60.0)))
            * (1.0 - lunch * (logistic(t, 14_400.0, 90.0) - logistic(t, 18_000.0, 60.0)))
            * (1.0 - logistic(t, 32_400.0, 240.0))
    })
    .announced(1_800, 32_400)
}

/// 1 000 people lose their sessions at once, and are back after twenty seconds.
fn storm(dice: &mut Dice) -> Trace {
    let people = dice.about(1_000.0, 0.15);
    let (at, lasts) = (dice.second(900.0, 0.2), dice.second(20.0, 0.5));
    over(2_400, |_| people)
        .announced(0, 2_400)
        .losing(at, 1.0, lasts)
}

/// The same with 1 500 and connections that cost a worker a whole second.
fn heavy(dice: &mut Dice) -> Trace {
    let people = dice.about(1_500.0, 0.1);
    let (at, lasts) = (dice.second(900.0, 0.2), dice.second(20.0, 0.5));
    let mut trace = over(2_400, |_| people)
        .announced(0, 2_400)
        .losing(at, 1.0, lasts);
    trace.connect_work = 1.0;
    trace
}

/// The hall's line is gone for twenty minutes, then everybody returns at once.
fn outage(dice: &mut Dice) -> Trace {
    let people = dice.about(1_000.0, 0.15);
    let lasts = dice.second(1_200.0, 0.25);
    over(4_800, |_| people).losing(900, 1.0, lasts)
}

/// Three losses within a quarter of an hour.
fn glitches(dice: &mut Dice) -> Trace {
    let people = dice.about(1_000.0, 0.15);
    let second = dice.about(0.6, 0.3);
    let lasts = dice.second(90.0, 0.4);
    over(5_400, |_| people)
        .announced(0, 5_400)
        .losing(900, 1.0, 20)
        .losing(1_380, second, 5)
        .losing(1_860, 1.0, lasts)
}

/// 800, at lunch 300, 800 again.
fn lunch(dice: &mut Dice) -> Trace {
    let (stay, leave) = (dice.about(300.0, 0.2), dice.about(500.0, 0.1));
    let back = dice.about(5_400.0, 0.05);
    over(9_000, |t| {
        stay + leave * (1.0 - logistic(t, 1_800.0, 120.0) + logistic(t, back, 55.0))
    })
    .announced(0, 9_000)
}

/// From 20 to 1 000 within two minutes, unannounced; half of them gone every 25 minutes.
fn flash(dice: &mut Dice) -> Trace {
    let (people, rise) = (dice.about(980.0, 0.15), dice.about(120.0, 0.25));
    over(5_400, |t| {
        let come = ((t - 600.0).max(0.0) / rise).min(1.0);
        20.0 + people * come * 0.5_f64.powf((t - 900.0).max(0.0) / 1_500.0)
    })
}

/// Two days, 4 at night and 400 by day.
fn diurnal(dice: &mut Dice) -> Trace {
    let (people, opens) = (dice.about(396.0, 0.15), dice.about(8.7, 0.03));
    let trace = over(2 * 86_400, |t| {
        let hour = (t % 86_400.0) / 3_600.0;
        let lunch = logistic(hour, 12.2, 0.05) - logistic(hour, 13.3, 0.05);
        let day = logistic(hour, opens, 0.15) * (1.0 - logistic(hour, 17.6, 0.2));
        4.0 + people * day * (1.0 - 0.4 * lunch)
    });
    trace
        .announced(29_700, 63_000)
        .announced(86_400 + 29_700, 86_400 + 63_000)
}

/// A week between congresses: four people look in by day and nobody by night, but for one evening of
/// 1 000.
fn week(dice: &mut Dice) -> Trace {
    let (people, begins) = (dice.about(1_000.0, 0.15), dice.about(68.0 * 3_600.0, 0.02));
    let lasts = dice.about(7_200.0, 0.2);
    over(7 * 86_400, |t| {
        let hour = (t % 86_400.0) / 3_600.0;
        let office = 4.0 * logistic(hour, 8.7, 0.15) * (1.0 - logistic(hour, 17.6, 0.2));
        let evening = logistic(t, begins, 260.0) * (1.0 - logistic(t, begins + lasts, 240.0));
        office + people * evening
    })
    .announced(date(begins), date(begins + lasts))
}

/// 300, and 15 % of noise that forgets within a minute.
fn noisy(dice: &mut Dice) -> Trace {
    let mut noise = 0.0;
    over(14_400, |_| {
        noise += -noise / 60.0 + dice.normal() * (2.0_f64 / 60.0).sqrt();
        300.0 * (1.0 + 0.15 * noise)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_trace_and_a_seed_makes_it_again() {
        for name in NAMES {
            let once = named(name, 7).expect(name);
            let again = named(name, 7).expect(name);
            assert_eq!(once.wanted, again.wanted);
            assert_ne!(once.wanted, named(name, 8).expect(name).wanted, "{name}");
            assert!(
                once.losses.iter().all(|loss| loss.at < once.wanted.len()),
                "{name}"
            );
        }
        assert!(named("nobody", 1).is_none());
    }
}
