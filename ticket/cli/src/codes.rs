//! `ticket codes`.

use serde_json::json;
use ticket_admin::Code;

use crate::output::{Output, Paint};
use crate::table::{Cell, table};

/// Lists the exit codes.
pub(crate) fn codes(out: &Output) -> Code {
    if out.json {
        let codes: Vec<_> = Code::all()
            .map(|code| {
                json!({"code": code.number(), "name": code.name(), "meaning": code.meaning()})
            })
            .collect();
        out.print_json(json!({ "codes": codes }));
        return Code::Done;
    }
    let rows: Vec<Vec<Cell>> = Code::all()
        .map(|code| {
            vec![
                Cell::plain(format!("{:>4}", code.number())),
                Cell::new(code.name(), Paint::Bold),
                Cell::plain(code.meaning()),
            ]
        })
        .collect();
    out.print(&table(out.style, &["CODE", "NAME", "MEANING"], &rows, ""));
    Code::Done
}
