//! A part of a job file: its settings, each with the reason for its value.

use serde::Serialize;

/// An option of fio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value, as fio reads it.
    pub value: String,
    /// Where the value comes from, a line each; empty where it says all itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// Settings under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// `global`, or the name of a fio job.
    pub name: String,
    /// What stands before it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// Its settings, in the order of the file.
    pub settings: Vec<Setting>,
}

impl Setting {
    /// One that needs no reason.
    pub fn new(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: value.to_string(), why: Vec::new() }
    }

    /// One with its reason.
    pub fn because(name: &'static str, value: impl ToString, why: impl Into<String>) -> Self {
        Self { name, value: value.to_string(), why: vec![why.into()] }
    }
}

impl Section {
    /// As it stands in the file, after an empty line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let about = self.about.iter().map(|line| comment(line));
        let settings = self.settings.iter().flat_map(|setting| {
            let why = setting.why.iter().map(|line| comment(line));
            why.chain([format!("{}={}", setting.name, setting.value)])
        });
        [String::new()].into_iter().chain(about).chain([format!("[{}]", self.name)]).chain(settings)
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }
}

/// A comment line, one whatever the source's names hold.
pub fn comment(line: &str) -> String {
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {clean}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_an_ini_section_with_reasons() {
        let settings = vec![Setting::new("rw", "read"), Setting::because("iodepth", 4, "as\nmeasured")];
        let section = Section { name: "read".to_owned(), about: vec![String::new()], settings };
        let lines: Vec<String> = section.lines().collect();
        assert_eq!(lines, ["", "#", "[read]", "rw=read", "# as measured", "iodepth=4"]);
        assert_eq!((section.get("iodepth"), section.get("bs")), (Some("4"), None));
    }
}
