//! A part of a job file: its settings, each with the reason for its value.

use std::collections::BTreeSet;

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
        let about = self.about.iter().flat_map(|line| wrapped(line));
        let settings = self.settings.iter().flat_map(|setting| {
            let why = setting.why.iter().flat_map(|line| wrapped(line));
            why.chain([format!("{}={}", setting.name, setting.value)])
        });
        [String::new()].into_iter().chain(about).chain([format!("[{}]", self.name)]).chain(settings)
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }
}

/// Says once for all jobs what each of them says in the same way; the first section is the one for all.
pub fn hoist(sections: &mut [Section], name: &'static str) {
    let Some((global, jobs)) = sections.split_first_mut() else { return };
    let of = |section: &Section| section.settings.iter().find(|setting| setting.name == name).cloned();
    let Some(first) = jobs.first().and_then(of) else { return };
    if jobs.iter().any(|job| of(job).as_ref() != Some(&first)) {
        return;
    }
    jobs.iter_mut().for_each(|job| job.settings.retain(|setting| setting.name != name));
    match global.settings.iter_mut().find(|setting| setting.name == name) {
        Some(setting) => *setting = first,
        None => global.settings.push(first),
    }
}

/// The sections without the reasons that an earlier setting of the same name has given: once is enough
/// for a reader.
pub fn reasons_once(sections: &[Section]) -> Vec<Section> {
    let mut given = BTreeSet::new();
    let mut all = sections.to_vec();
    for setting in all.iter_mut().flat_map(|section| &mut section.settings) {
        let name = setting.name;
        setting.why.retain(|why| given.insert((name, why.clone())));
    }
    all
}

/// A comment line, one whatever the source's names hold.
pub fn comment(line: &str) -> String {
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {clean}").trim_end().to_owned()
}

/// A comment of as many lines as it takes; those after the first stand further in.
pub fn wrapped(line: &str) -> Vec<String> {
    let whole = comment(line);
    if whole.chars().count() <= WIDTH {
        return vec![whole];
    }
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let mut lines = Vec::new();
    let mut current = format!("#{:indent$}", "", indent = indent);
    let mut is_empty = true;
    for word in whole[1..].split_whitespace() {
        if !is_empty && current.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut current, format!("#{:indent$}", "", indent = indent + 2)));
        }
        current.push(' ');
        current.push_str(word);
        is_empty = false;
    }
    lines.push(current);
    lines
}

/// Columns of a line of comment.
const WIDTH: usize = 100;

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

    #[test]
    fn a_reason_is_given_once() {
        let job = |depth: u32| Section {
            name: format!("job-{depth}"),
            about: Vec::new(),
            settings: vec![Setting::because("iodepth", depth, "kept"), Setting::because("rate", depth, "kept")],
        };
        let said: usize = reasons_once(&[job(1), job(2)]).iter().map(|section| section.lines().count()).sum();
        assert_eq!(said, 2 * 4 + 2, "two jobs of four lines, and two reasons");
    }

    #[test]
    fn long_comments_go_on_below() {
        let long = format!("  {}end", "word ".repeat(40));
        let lines = wrapped(&long);
        assert!(lines.len() == 3 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("#   word") && lines[1].starts_with("#     word"), "{lines:?}");
        assert_eq!(wrapped(&"x".repeat(200)), [format!("# {}", "x".repeat(200))], "a word is not cut");
        assert_eq!(wrapped(""), ["#"]);
    }
}
