//! The columns of a requests file: what their types are, and requests gathered by column.

use polars::prelude::{Column, DataType, IntoColumn, StringChunkedBuilder};

use super::parquet::{Field, needed, optional};
use super::requests::{RequestKind, RequestRow};

/// A column in the making.
trait Gather {
    /// What a request has there.
    type Value;

    /// Nothing yet.
    fn start(name: &'static str) -> Self;
    /// Appends a request's value.
    fn add(&mut self, value: &Self::Value);
    /// Hands out what was gathered, and starts again.
    fn take(&mut self, name: &'static str) -> Column;
    /// What the file says of the column.
    fn field(name: &'static str) -> Field;
}

macro_rules! numbers {
    ($($type:ty => $dtype:ident),*) => {
        $(impl Gather for Vec<$type> {
            type Value = $type;

            fn start(_name: &'static str) -> Self {
                Vec::new()
            }

            fn add(&mut self, value: &$type) {
                self.push(*value);
            }

            fn take(&mut self, name: &'static str) -> Column {
                let next = Vec::with_capacity(self.len());
                Column::new(name.into(), std::mem::replace(self, next))
            }

            fn field(name: &'static str) -> Field {
                needed(name, DataType::$dtype)
            }
        })*
    };
}

numbers!(u32 => UInt32, u64 => UInt64, i64 => Int64);

macro_rules! texts {
    ($($name:ident: $value:ty, $append:expr, $field:ident);*) => {
        $(struct $name(StringChunkedBuilder);

        impl Gather for $name {
            type Value = $value;

            fn start(name: &'static str) -> Self {
                Self(StringChunkedBuilder::new(name.into(), 0))
            }

            fn add(&mut self, value: &$value) {
                let append: fn(&mut StringChunkedBuilder, &$value) = $append;
                append(&mut self.0, value);
            }

            fn take(&mut self, name: &'static str) -> Column {
                std::mem::replace(self, Self::start(name)).0.finish().into_column()
            }

            fn field(name: &'static str) -> Field {
                $field(name, DataType::String)
            }
        })*
    };
}

texts! {
    Text: String, |column, value| column.append_value(value), needed;
    OptionalText: Option<String>, |column, value| column.append_option(value.as_deref()), optional;
    Kind: RequestKind, |column, value| column.append_value(value.word()), needed
}

macro_rules! columns {
    ($($column:ident: $kind:ty),* $(,)?) => {
        /// Requests by column; the columns are named as the fields of [`RequestRow`].
        pub struct Group {
            rows: usize,
            $($column: $kind,)*
        }

        impl Group {
            /// No request.
            pub fn new() -> Self {
                Self { rows: 0, $($column: Gather::start(stringify!($column)),)* }
            }

            /// Appends a request.
            pub fn push(&mut self, row: &RequestRow) {
                self.rows += 1;
                $(self.$column.add(&row.$column);)*
            }

            /// Hands out the requests so far, and starts again.
            pub fn take(&mut self) -> Vec<Column> {
                self.rows = 0;
                vec![$(self.$column.take(stringify!($column)),)*]
            }
        }

        /// The columns, in file order.
        pub fn fields() -> Vec<Field> {
            vec![$(<$kind as Gather>::field(stringify!($column)),)*]
        }
    };
}

columns! {
    request: Vec<u64>,
    conversation: OptionalText,
    turn: Vec<u32>,
    user: Text,
    qos: Text,
    kind: Kind,
    arrival_ns: Vec<i64>,
    start_ns: Vec<i64>,
    context_tokens: Vec<u32>,
    generate_tokens: Vec<u32>,
    generation_ns: Vec<i64>,
    prefix_tokens: Vec<u32>,
    hit_tokens: Vec<u32>,
    lookups: Vec<u32>,
    hits: Vec<u32>,
    misses: Vec<u32>,
    history_hits: Vec<u32>,
    history_misses: Vec<u32>,
    prefix_hits: Vec<u32>,
    prefix_misses: Vec<u32>,
    rag_hits: Vec<u32>,
    rag_misses: Vec<u32>,
}

impl Group {
    /// How many requests there are.
    pub fn rows(&self) -> usize {
        self.rows
    }
}
