//! When the clock of a run starts: at once, or at a moment that several hosts agree on.

use std::ffi::c_int;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::units::{self, SECOND_NS, Time};

use super::report::host::rfc3339;

/// How long it sleeps between two looks at whether it was asked to stop.
const NAP_NS: u64 = 50_000_000;
/// How long before the moment it does not sleep any more: a wake-up may take that long.
const AWAKE_NS: u64 = 200_000;
/// What is left of the wait for the run thread, after whoever looks on has been told.
const LAST_NS: u64 = 3 * SECOND_NS;

/// A moment on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartAt {
    /// Nanoseconds since 1970-01-01 UTC.
    pub unix_ns: u64,
}

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// What a run waits for before its clock starts, and when that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    /// The moment; none for at once.
    pub at: Option<StartAt>,
    /// When the clock started, in nanoseconds since 1970-01-01 UTC.
    pub started_unix_ns: u64,
}

impl Gate {
    /// Waits, if there is something to wait for; the clock starts when it returns.
    ///
    /// # Errors
    /// When somebody asks to stop.
    pub fn pass(&mut self, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        let waited = self.at.map_or(Ok(()), |at| at.wait(stop, progress));
        self.started_unix_ns = unix_now();
        waited
    }
}

impl StartAt {
    /// Refuses a moment that has passed.
    ///
    /// # Errors
    /// By how much.
    pub fn check_ahead(self) -> Result<()> {
        match unix_now().checked_sub(self.unix_ns) {
            None => Ok(()),
            Some(past) => Err(Error::usage(format!(
                "--start-at {}: that was {} ago; name a moment to come, after what preparing takes",
                self.words(),
                units::ns(past as f64)
            ))),
        }
    }

    /// Refuses a moment that passed while everything was made ready.
    ///
    /// # Errors
    /// By how much.
    pub fn check_ready(self) -> Result<()> {
        match unix_now().checked_sub(self.unix_ns) {
            None => Ok(()),
            Some(late) => Err(Error::new(
                Kind::NotSustained,
                format!(
                    "ready {} too late to start at {}; what was prepared is kept, so a later --start-at will do; \
                     nothing was measured",
                    units::ns(late as f64),
                    self.words()
                ),
            )),
        }
    }

    /// Waits until shortly before the moment, so that the run thread has little left to wait for.
    ///
    /// # Errors
    /// When somebody asks to stop.
    pub fn approach(self, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        pause(self.unix_ns.saturating_sub(LAST_NS), "waiting for --start-at", stop, progress)
    }

    /// Waits for the moment itself.
    ///
    /// # Errors
    /// When somebody asks to stop.
    pub fn wait(self, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        pause(self.unix_ns.saturating_sub(AWAKE_NS), "waiting for --start-at", stop, progress)?;
        while unix_now() < self.unix_ns {
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn words(self) -> String {
        rfc3339(SystemTime::UNIX_EPOCH + Duration::from_nanos(self.unix_ns))
    }
}

/// Waits, with progress.
///
/// # Errors
/// When somebody asks to stop.
pub fn pause(until_unix_ns: u64, why: &str, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let mut now = unix_now();
    if now >= until_unix_ns {
        return Ok(());
    }
    progress.stage(why, Some((until_unix_ns - now) / 1_000_000), "ms");
    while now < until_unix_ns {
        if stop.requested() {
            progress.done();
            return Err(Error::interrupted(format!("interrupted while {why}; nothing was measured")));
        }
        std::thread::sleep(Duration::from_nanos((until_unix_ns - now).min(NAP_NS)));
        let later = unix_now();
        progress.advance(later.saturating_sub(now) / 1_000_000);
        now = later;
    }
    progress.done();
    Ok(())
}

/// Whether the kernel says that its clock is synchronised; none when it does not say.
pub fn synchronized() -> Option<bool> {
    // `TIME_ERROR` of adjtimex(2): the clock is not synchronised.
    const TIME_ERROR: c_int = 5;
    unsafe extern "C" {
        fn adjtimex(buffer: *mut u64) -> c_int;
    }
    let mut buffer = [0u64; 64];
    // SAFETY: the call fills a struct timex, which is shorter than the buffer and aligned like it;
    // all zeroes ask for nothing to be changed.
    let state = unsafe { adjtimex(buffer.as_mut_ptr()) };
    (state >= 0).then_some(state != TIME_ERROR)
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a moment; write 2026-11-22T10:00:00Z, unix seconds such as 1795341600.5, or +10s from now"
            )
        };
        let unix_ns = match text.strip_prefix('+') {
            Some(later) => unix_now().checked_add(later.parse::<Time>()?.0),
            None if text.contains('T') || text.contains('t') => Some(parse_rfc3339(text).ok_or_else(wrong)?),
            None => seconds(text),
        };
        unix_ns.map(|unix_ns| StartAt { unix_ns }).ok_or_else(wrong)
    }
}

/// Seconds with an optional fraction, exactly, as nanoseconds.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}")[..9].parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(SECOND_NS)?.checked_add(nanos)
}

/// A date and time of RFC 3339 section 5.6, as nanoseconds since 1970-01-01 UTC.
fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone);
    let fields = |text: &str, by: char| -> Option<[u64; 3]> {
        let all: Vec<_> = text.split(by).map(two_or_four_digits).collect::<Option<_>>()?;
        all.try_into().ok()
    };
    let [year, month, day] = fields(date, '-')?;
    let (clock, fraction) = time.split_once('.').map_or((time, None), |(clock, f)| (clock, Some(f)));
    let [hour, minute, second] = fields(clock, ':')?;
    let known = (1970..=2500).contains(&year) && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !known || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = fraction.map_or(Some(0), |f| seconds(&format!("0.{f}")))?;
    let local = days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let utc = i64::try_from(local).ok()? - offset_s(zone)?;
    u64::try_from(utc).ok()?.checked_mul(SECOND_NS)?.checked_add(fraction)
}

fn two_or_four_digits(text: &str) -> Option<u64> {
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    (all_digits && matches!(text.len(), 2 | 4)).then(|| text.parse().ok())?
}

/// `Z`, or `+02:00`, in seconds east of UTC.
fn offset_s(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (two_or_four_digits(hours)?, two_or_four_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i64)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(is_leap(year)),
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|y| 365 + u64::from(is_leap(y))).sum();
    years + (1..month).map(|m| days_of(year, m)).sum::<u64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        let at = |text: &str| text.parse::<StartAt>().map(|at| at.unix_ns);
        assert_eq!(at("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(at("2000-02-29T00:00:00.5Z"), Ok(951_782_400_500_000_000));
        assert_eq!(at("2026-11-22T03:28:17+02:00"), Ok(1_795_310_897_000_000_000));
        assert_eq!(at("2026-11-21T23:58:17-01:30"), Ok(1_795_310_897_000_000_000));
        assert_eq!(at("1795310897.000000001"), Ok(1_795_310_897_000_000_001));
        let later = at("+10s").unwrap() - unix_now();
        assert!((9 * SECOND_NS..=10 * SECOND_NS).contains(&later), "{later}");
        for text in [
            "",
            "now",
            "10s",
            "-5",
            "+",
            "2026-11-22",
            "2026-02-30T00:00:00Z",
            "2026-11-22T25:00:00Z",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00é",
            "1.5.5",
            "99999999999999999999",
            "2026-11-22T10:00:00+é1:00",
        ] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_go_there_and_back() {
        for days in (0..40_000).step_by(37) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400 + 3661);
            assert_eq!(rfc3339(time).parse::<StartAt>().unwrap().unix_ns / SECOND_NS, days * 86_400 + 3661);
        }
    }

    #[test]
    fn what_is_past_is_refused_and_a_wait_can_be_interrupted() {
        let past = StartAt { unix_ns: unix_now() - 5 * SECOND_NS };
        assert_eq!(past.check_ahead().unwrap_err().kind(), Kind::Usage);
        assert_eq!(past.check_ready().unwrap_err().kind(), Kind::NotSustained);
        let stop = Stop::new();
        stop.request();
        let later = StartAt { unix_ns: unix_now() + 3600 * SECOND_NS };
        assert_eq!(later.wait(&stop, &crate::progress::Silent).unwrap_err().kind(), Kind::Interrupted);
        let soon = StartAt { unix_ns: unix_now() + 3_000_000 };
        soon.wait(&Stop::new(), &crate::progress::Silent).unwrap();
        assert!(unix_now() >= soon.unix_ns);
    }
}
