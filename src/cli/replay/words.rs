//! The words of a replay's flags.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::replay::{Engine, GdsMode, Layout, Order, Prepare, Wait};

/// Lets a flag take the words of a setting.
macro_rules! words {
    ($($setting:ident: $($variant:ident),+;)+) => {
        $(impl ValueEnum for $setting {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($setting::$variant),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.word()))
            }
        })+
    };
}

words! {
    Wait: Timeout, Hybrid, Spin;
    Engine: IoUring, Nop;
    GdsMode: Off, Auto, On;
    Layout: Slab, File;
    Order: Key, Request, Conversation;
    Prepare: Auto, Always, Never;
}
