//! What kubectl prints, without what is another every time.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Patterns and what stands in their place.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d{4}|Z)",
            "<time>",
        ),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", "<time>"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
        (
            r#"(resourceVersion"?: "|Resource Version: +)\d+"#,
            "${1}<version>",
        ),
        // The rest of an event's name.
        (r"\.[0-9a-f]{16}\b", ".<moment>"),
        (r"(-hash[=:] *)[bcdfghjklm]{6,10}\b", "${1}<hash>"),
        (r"-[bcdfghjklm]{6,10}\b", "-<hash>"),
        (
            r"\b((?:web|shipper)(?:-<hash>)?)-[bcdfghjklmnpqrstvwxz2456789]{5}\b",
            "${1}-<id>",
        ),
        (r"\b10\.244\.\d+\.\d+", "<pod address>"),
        (r"(127\.0\.0\.1|\[::1\]):\d+", "${1}:<port>"),
        (r"/tmp/(LIVE|MERGED)-\d+", "/tmp/${1}-<n>"),
        // The machine, and kubectl itself.
        (r"\b\d+Ki\b", "<memory>"),
        (r#"(\bcpu: +)"?\d+"?"#, "${1}<cpus>"),
        (
            r"(?m)((?:Machine ID|Boot ID|Kernel Version|OS Image|Architecture): +).*",
            "${1}<machine>",
        ),
        (
            r"(?m)((?:machineID|bootID|kernelVersion|osImage|architecture): ).*",
            "${1}<machine>",
        ),
        (r"(kubernetes\.io/arch[=:] ?)\w+", "${1}<machine>"),
        (r"(?m)^((?:Client|Kustomize) Version: ).*", "${1}<kubectl>"),
    ]
    .map(|(pattern, mask)| (Regex::new(pattern).expect("a pattern"), mask))
    .into()
});

/// Addresses of services, of which only the first is the same every time.
static SERVICES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b").expect("a pattern"));

/// Columns of which every cell is another each time.
const COLUMNS: [(&str, &str); 5] = [
    ("AGE", "<age>"),
    ("LAST SEEN", "<age>"),
    ("FIRST SEEN", "<age>"),
    ("OS-IMAGE", "<machine>"),
    ("KERNEL-VERSION", "<machine>"),
];

/// Masks times, ages, addresses of pods and services, uids, versions, hashes, random names, ports,
/// and what is the machine's. Tables are set anew, so that their columns stay aligned.
pub fn mask(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut masked = String::new();
    let mut at = 0;
    while at < lines.len() {
        let rows = columns(&lines[at..]).map(|columns| rows(&lines[at..], &columns));
        match rows {
            Some(rows) => {
                masked.push_str(&table(lines[at], &rows));
                at += rows.len();
            }
            None => {
                masked.push_str(&words(lines[at]));
                masked.push('\n');
                at += 1;
            }
        }
    }
    masked
}

fn words(text: &str) -> String {
    let masked = VOLATILE
        .iter()
        .fold(text.to_owned(), |text, (pattern, mask)| {
            pattern.replace_all(&text, *mask).into_owned()
        });
    let service = |found: &Captures<'_>| match &found[0] {
        first @ "10.96.0.1" => first.to_owned(),
        _ => "<service address>".to_owned(),
    };
    SERVICES.replace_all(&masked, service).into_owned()
}

/// Where the columns are, if a table begins here: a line of capitals, or one with dashes below it.
fn columns(lines: &[&str]) -> Option<Vec<Range<usize>>> {
    static HEAD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[A-Z][A-Z0-9_ ()-]*$").expect("a pattern"));
    static DASHES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^ *--[ -]*$").expect("a pattern"));
    static COLUMN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\S+( \S+)*").expect("a pattern"));
    let [first, second, ..] = lines else {
        return None;
    };
    if !HEAD.is_match(first) && !DASHES.is_match(second) {
        return None;
    }
    let starts: Vec<usize> = COLUMN.find_iter(first).map(|one| one.start()).collect();
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    Some(
        starts
            .iter()
            .copied()
            .zip(ends)
            .map(|(start, end)| start..end)
            .collect(),
    )
}

/// The cells of a line.
type Row = Vec<String>;

/// As far as the table goes: to a line that is empty, or not indented as it is.
fn rows(lines: &[&str], columns: &[Range<usize>]) -> Vec<Row> {
    let indent = columns[0].start;
    let inside = |line: &&&str| line.find(|letter| letter != ' ') == Some(indent);
    let rows = lines.iter().take_while(inside);
    rows.map_while(|line| cells(line, columns)).collect()
}

fn table(head: &str, rows: &[Row]) -> String {
    let indent = head.len() - head.trim_start().len();
    let gap = if indent == 0 && !head.contains("REVISION  ") {
        "   "
    } else {
        "  "
    };
    let masked: Vec<Row> = rows
        .iter()
        .enumerate()
        .map(|(row, cells)| {
            let cells = cells.iter().zip(&rows[0]);
            let mask = |(cell, head): (&String, &String)| match row {
                0 => cell.clone(),
                _ => masked_cell(cell, head),
            };
            cells.map(mask).collect()
        })
        .collect();
    let width = |column: usize| masked.iter().map(move |row| row[column].len()).max();
    let widths: Vec<usize> = (0..rows[0].len()).filter_map(width).collect();
    let mut text = String::new();
    for row in &masked {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = format!("{:indent$}{}", "", cells.join(gap));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A watch's rows may be wider than its head was, but no cell of theirs is empty.
fn cells(line: &str, columns: &[Range<usize>]) -> Option<Row> {
    let cut = |column: &Range<usize>| {
        column.start == 0 || line.len() < column.start || line.as_bytes()[column.start - 1] == b' '
    };
    if columns.iter().all(cut) {
        let cell = |column: &Range<usize>| line.get(column.start..column.end.min(line.len()));
        let cells = columns.iter().map(|column| cell(column).unwrap_or(""));
        return Some(cells.map(|cell| cell.trim().to_owned()).collect());
    }
    let cells = line
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty());
    let cells: Row = cells.map(str::to_owned).collect();
    (cells.len() == columns.len()).then_some(cells)
}

fn masked_cell(cell: &str, head: &str) -> String {
    static AGO: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(\w+ ago\)").expect("a pattern"));
    let column = COLUMNS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(head));
    match column {
        Some((_, mask)) if !cell.starts_with('-') && !cell.starts_with('<') => (*mask).to_owned(),
        _ => AGO.replace_all(&words(cell), "(<age> ago)").into_owned(),
    }
}

#[test]
fn columns_stay_aligned_and_what_is_the_same_every_time_stays() {
    let printed = "\
NAME    READY   RESTARTS      AGE     IP            NODE
web     1/1     1 (5s ago)    2m34s   10.244.0.17   node-1
other   0/1     0             3s      <none>        <none>

Liveness: http-get http://:8080/ delay=0s timeout=1s
Node:     node-1/172.30.0.11 10.96.0.1 10.101.3.4
Events:
  Type    Reason   Age   From
  ----    ------   ----  ----
  Normal  Started  12s   kubelet
";
    let masked = "\
NAME    READY   RESTARTS        AGE     IP              NODE
web     1/1     1 (<age> ago)   <age>   <pod address>   node-1
other   0/1     0               <age>   <none>          <none>

Liveness: http-get http://:8080/ delay=0s timeout=1s
Node:     node-1/172.30.0.11 10.96.0.1 <service address>
Events:
  Type    Reason   Age    From
  ----    ------   ----   ----
  Normal  Started  <age>  kubelet
";
    assert_eq!(mask(printed), masked);
}
