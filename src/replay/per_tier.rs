//! A setting that may differ from tier to tier: one word for all of them, or `TIER=WORD,…`.

use std::fmt;
use std::str::FromStr;

use crate::error::nearest;

/// A setting that is typed as one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The word.
    fn word(self) -> &'static str;
}

/// A setting of each tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerTier<T> {
    /// The value of the tiers that are not named; none when only single tiers were named.
    common: Option<T>,
    named: [Option<T>; 3],
}

impl<T: Copy> PerTier<T> {
    /// The same for all tiers.
    pub const fn all(value: T) -> Self {
        Self { common: Some(value), named: [None; 3] }
    }

    /// The value that was given for a tier by its number; none when it was not named.
    pub fn named(&self, tier: usize) -> Option<T> {
        self.named[tier]
    }

    /// The value that was given for all tiers.
    pub fn common(&self) -> Option<T> {
        self.common
    }
}

impl<T: Word> PerTier<T> {
    /// The value for a tier: its own, the common one, or the setting's first word.
    pub fn of(&self, tier: usize) -> T {
        self.named[tier].or(self.common).unwrap_or(T::ALL[0])
    }
}

impl<T: Word> FromStr for PerTier<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return word(text).map(Self::all);
        }
        let mut all = Self { common: None, named: [None; 3] };
        for part in text.split(',') {
            let (tier, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` names no tier; write 1={part} or 2={part}"))?;
            let number = tier.parse::<usize>().ok().filter(|tier| *tier < 3);
            let number = number.ok_or_else(|| format!("`{tier}` is not a tier; the tiers are 0, 1 and 2"))?;
            if all.named[number].replace(word(value)?).is_some() {
                return Err(format!("tier {number} is named twice in `{text}`"));
            }
        }
        Ok(all)
    }
}

fn word<T: Word>(text: &str) -> Result<T, String> {
    T::ALL.iter().copied().find(|value| value.word() == text).ok_or_else(|| {
        let words: Vec<_> = T::ALL.iter().map(|value| value.word()).collect();
        let (first, last) = (words[0], words[words.len() - 1]);
        format!(
            "`{text}` is not one of {}; the nearest is {}; give one word for all storage tiers, or 1={first},2={last} for \
             single ones",
            words.join(", "),
            nearest(text, words.iter().copied()),
        )
    })
}

impl<T: Word> fmt::Display for PerTier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(common) = self.common {
            return f.write_str(common.word());
        }
        let given = self.named.iter().enumerate().filter_map(|(tier, value)| value.map(|value| (tier, value)));
        let words: Vec<_> = given.map(|(tier, value)| format!("{tier}={}", value.word())).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Durability;

    #[test]
    fn one_word_or_one_for_each_tier() {
        let parse = |text: &str| text.parse::<PerTier<Durability>>();
        let all = parse("fsync").unwrap();
        assert_eq!((all.of(0), all.of(2), all.to_string()), (Durability::Fsync, Durability::Fsync, "fsync".to_owned()));
        let some = parse("2=fdatasync,1=none").unwrap();
        assert_eq!([some.of(0), some.of(1), some.of(2)], [Durability::None, Durability::None, Durability::Fdatasync]);
        assert_eq!((some.to_string(), some.named(0), some.common()), ("1=none,2=fdatasync".to_owned(), None, None));
        assert_eq!(parse(&some.to_string()), Ok(some));
        for wrong in ["", "sync", "Fsync", "3=fsync", "-1=fsync", "1=", "1=fsync,1=none", "1=fsync,none", "=fsync", ","]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("later").unwrap_err().contains("none, fdatasync, fsync, dsync"));
    }
}
