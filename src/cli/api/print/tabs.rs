//! Text in columns, as Go's `text/tabwriter` lays it out.
//!
//! A cell ends with a tab. A column is as wide as its widest cell in consecutive lines that have
//! one; what follows the last tab of a line belongs to no column.

#[derive(Debug, Clone)]
pub struct Tabs {
    /// Of a column, its padding included.
    min_width: usize,
    padding: usize,
    /// The widths that earlier blocks had; `None` forgets them.
    remembered: Option<Vec<usize>>,
    text: String,
}

impl Tabs {
    /// As `kubectl get` lays tables out: wider columns stay wide in what follows.
    pub fn table() -> Tabs {
        Tabs {
            min_width: 6,
            padding: 3,
            remembered: Some(Vec::new()),
            text: String::new(),
        }
    }

    /// As `kubectl describe` lays an object out.
    pub fn description() -> Tabs {
        Tabs {
            min_width: 0,
            padding: 2,
            remembered: None,
            text: String::new(),
        }
    }

    /// Terminal escapes lose their effect.
    pub fn write(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\u{1b}' => self.text.push_str("^["),
                '\r' => self.text.push_str("\\r"),
                other => self.text.push(other),
            }
        }
    }

    pub fn line<S: AsRef<str>>(&mut self, cells: &[S]) {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.text.push('\t');
            }
            self.write(cell.as_ref());
        }
        self.text.push('\n');
    }

    /// What was written since the last time, as it was.
    pub fn raw(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// What was written since the last time, laid out.
    pub fn flush(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        let lines: Vec<Vec<&str>> = text
            .split('\n')
            .map(|line| line.split('\t').collect())
            .collect();
        let mut block = Block {
            tabs: self,
            lines: &lines,
            widths: Vec::new(),
            out: String::with_capacity(text.len() * 2),
        };
        block.lay_out(0, lines.len());
        block.out
    }
}

struct Block<'a> {
    tabs: &'a mut Tabs,
    lines: &'a [Vec<&'a str>],
    /// Of the columns to the left.
    widths: Vec<usize>,
    out: String,
}

impl Block<'_> {
    /// Lays out the lines from `first` to before `end`, whose columns to the left have widths.
    fn lay_out(&mut self, mut first: usize, end: usize) {
        let column = self.widths.len();
        let has_cell = |line: &Vec<&str>| column + 1 < line.len();
        let mut at = first;
        while at < end {
            if !has_cell(&self.lines[at]) {
                at += 1;
                continue;
            }
            self.put(first, at);
            first = at;
            let rest = &self.lines[at..end];
            at += rest.iter().take_while(|line| has_cell(line)).count();
            let cells = self.lines[first..at].iter().map(|line| line[column]);
            let width = cells
                .map(|cell| cell.chars().count() + self.tabs.padding)
                .max();
            let width = width.unwrap_or(0).max(self.tabs.min_width);
            let width = self.tabs.remember(column, width);
            self.widths.push(width);
            self.lay_out(first, at);
            self.widths.pop();
            first = at;
        }
        self.put(first, end);
    }

    fn put(&mut self, first: usize, end: usize) {
        for index in first..end {
            for (column, cell) in self.lines[index].iter().enumerate() {
                self.out.push_str(cell);
                let width = self.widths.get(column).copied().unwrap_or(0);
                let missing = width.saturating_sub(cell.chars().count());
                self.out.extend(std::iter::repeat_n(' ', missing));
            }
            if index + 1 < self.lines.len() {
                self.out.push('\n');
            }
        }
    }
}

impl Tabs {
    fn remember(&mut self, column: usize, width: usize) -> usize {
        let Some(widths) = &mut self.remembered else {
            return width;
        };
        if widths.len() <= column {
            widths.resize(column + 1, 0);
        }
        widths[column] = widths[column].max(width);
        widths[column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_neighbours_above_and_below() {
        let mut tabs = Tabs::description();
        tabs.write("Name:\tweb\nLabels:\ta=1\n\tb=2\nno cell\nx:\ty\tz\n");
        assert_eq!(
            tabs.flush(),
            "Name:    web\nLabels:  a=1\n         b=2\nno cell\nx:  y  z\n"
        );
    }

    #[test]
    fn a_table_s_columns_stay_as_wide_as_they_were() {
        let mut tabs = Tabs::table();
        tabs.line(&["NAME", "UP", "AGE"]);
        tabs.line(&["a-long-name", "x", ""]);
        assert_eq!(
            tabs.flush(),
            "NAME          UP    AGE\na-long-name   x     \n"
        );
        tabs.line(&["b", "y", "1s"]);
        assert_eq!(tabs.flush(), "b             y     1s\n");
        let mut tabs = Tabs::table();
        tabs.line(&["b", "y\u{1b}", "1s"]);
        assert_eq!(tabs.flush(), "b     y^[   1s\n");
    }
}
