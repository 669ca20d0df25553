//! The top level: C part as written, then items with an empty line between blocks.

use super::Printer;
use super::comments::Comments;
use super::doc::Doc;
use crate::ast::{
    Config, ConfigValue, Function, Item, Macro, MacroParamKind, MapDecl, Probe, Script,
};
use crate::span::Span;

impl Printer<'_> {
    pub(super) fn script(&self, script: &Script, comments: &mut Comments) -> Doc {
        let mut out = Vec::new();
        let mut last = 0;
        if let Some(shebang) = script.shebang {
            out.push(Doc::text(self.text(shebang).trim_end()));
            out.push(Doc::HardLine);
            last = shebang.end;
        }
        if let Some(span) = script.c.span {
            comments.leading(span.start, &mut last, &mut out);
            out.push(self.as_written(span));
            comments.skip_to(span.end);
            let limit = script
                .items
                .first()
                .map_or(u32::MAX, |item| item.span().start);
            comments.trailing(span.end, limit, &mut last, &mut out);
            out.push(Doc::HardLine);
        }
        for (position, item) in script.items.iter().enumerate() {
            let span = item.span();
            if position > 0 && (has_block(item) || has_block(&script.items[position - 1])) {
                out.push(Doc::BlankLine);
            }
            comments.leading(span.start, &mut last, &mut out);
            out.push(self.item(item, comments));
            comments.skip_to(span.end);
            let limit = script
                .items
                .get(position + 1)
                .map_or(u32::MAX, |item| item.span().start);
            let end = self.behind_semicolon(span.end);
            comments.trailing(end, limit, &mut last, &mut out);
            out.push(Doc::HardLine);
        }
        comments.leading(u32::MAX, &mut last, &mut out);
        Doc::Concat(out)
    }

    /// The end of the `;` behind `end`, or `end`.
    pub(super) fn behind_semicolon(&self, end: u32) -> u32 {
        let next = self.tokens.partition_point(|token| token.span.start < end);
        match self.tokens.get(next) {
            Some(token) if self.text(token.span) == ";" => token.span.end,
            _ => end,
        }
    }

    /// The text of `span`, without blanks at line ends.
    pub(super) fn as_written(&self, span: Span) -> Doc {
        let text = self.text(span).trim_end();
        if text.contains('"') {
            return Doc::Verbatim(text.to_owned());
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Doc::Verbatim(lines.join("\n"))
    }

    fn item(&self, item: &Item, comments: &mut Comments) -> Doc {
        let span = item.span();
        if !has_block(item) && comments.any_between(span.start, span.end) {
            return Doc::Concat(vec![self.as_written(span), Doc::text(";")]);
        }
        match item {
            Item::Config(config) => self.config(config, comments),
            Item::Import(import) => Doc::text(format!("import {};", self.text(import.path_span))),
            Item::MapDecl(decl) => self.map_decl(decl, comments),
            Item::Macro(item) => self.macro_item(item, comments),
            Item::Function(item) => self.function(item, comments),
            Item::Probe(probe) => self.probe(probe, comments),
            Item::Error(span) => self.as_written(*span),
        }
    }

    fn config(&self, config: &Config, comments: &mut Comments) -> Doc {
        let mut inside = Vec::new();
        let mut last = config
            .entries
            .first()
            .map_or(config.span.end, |entry| entry.key.span.start);
        for (position, entry) in config.entries.iter().enumerate() {
            inside.push(Doc::HardLine);
            comments.leading(entry.key.span.start, &mut last, &mut inside);
            let value = match &entry.value {
                ConfigValue::Error => "",
                _ => self.text(entry.value_span),
            };
            inside.push(Doc::text(format!("{} = {value};", entry.key.text)));
            comments.skip_to(entry.value_span.end);
            let limit = config
                .entries
                .get(position + 1)
                .map_or(config.span.end, |next| next.key.span.start);
            comments.trailing(
                self.behind_semicolon(entry.value_span.end),
                limit,
                &mut last,
                &mut inside,
            );
        }
        self.rest_of_block(config.span, last, &mut inside, comments);
        if inside.is_empty() {
            return Doc::text("config = {}");
        }
        Doc::Concat(vec![
            Doc::text("config = {"),
            Doc::indent(inside),
            Doc::HardLine,
            Doc::text("}"),
        ])
    }

    fn map_decl(&self, decl: &MapDecl, comments: &mut Comments) -> Doc {
        let mut docs = vec![Doc::text(format!(
            "let @{} = {}(",
            decl.map.text, decl.kind.text
        ))];
        for (position, arg) in decl.args.iter().enumerate() {
            if position > 0 {
                docs.push(Doc::text(", "));
            }
            docs.push(self.expr(arg, comments));
        }
        docs.push(Doc::text(");"));
        Doc::Concat(docs)
    }

    fn macro_item(&self, item: &Macro, comments: &mut Comments) -> Doc {
        let params = item.params.iter().map(|param| match param.kind {
            MacroParamKind::Variable => format!("${}", param.name.text),
            MacroParamKind::Map => format!("@{}", param.name.text),
            MacroParamKind::Expr => param.name.text.clone(),
        });
        let params: Vec<String> = params.collect();
        let head = format!("macro {}({}) ", item.name.text, params.join(", "));
        let head = self.head(head, item.span, item.body.span, comments);
        Doc::Concat(vec![head, self.block(&item.body, comments)])
    }

    fn function(&self, item: &Function, comments: &mut Comments) -> Doc {
        if comments.any_between(item.span.start, item.body.span.start) {
            let head = self.head(String::new(), item.span, item.body.span, comments);
            return Doc::Concat(vec![head, self.block(&item.body, comments)]);
        }
        let mut docs = vec![Doc::text(format!("fn {}(", item.name.text))];
        for (position, param) in item.params.iter().enumerate() {
            let comma = if position > 0 { ", " } else { "" };
            docs.push(Doc::text(format!("{comma}${} : ", param.name.text)));
            docs.push(self.ty(&param.ty, comments));
        }
        docs.push(Doc::text(")"));
        if let Some(result) = &item.result {
            docs.push(Doc::text(" : "));
            docs.push(self.ty(result, comments));
        }
        docs.push(Doc::text(" "));
        docs.push(self.block(&item.body, comments));
        Doc::Concat(docs)
    }

    /// `text`, or what was written if it holds comments.
    fn head(&self, text: String, whole: Span, body: Span, comments: &mut Comments) -> Doc {
        if !comments.any_between(whole.start, body.start) {
            return Doc::text(text);
        }
        let written = Span {
            end: body.start,
            ..whole
        };
        comments.skip_to(body.start);
        let gap = if self.text(written).trim_end_matches(' ').ends_with('\n') {
            Doc::HardLine
        } else {
            Doc::text(" ")
        };
        Doc::Concat(vec![self.as_written(written), gap])
    }

    fn probe(&self, probe: &Probe, comments: &mut Comments) -> Doc {
        let name = probe
            .name
            .as_ref()
            .map_or(String::new(), |name| format!("{} = ", name.text));
        let patterns: Vec<&str> = probe
            .patterns
            .iter()
            .map(|pattern| pattern.text.as_str())
            .collect();
        if comments.any_between(probe.span.start, probe.body.span.start) {
            let head = self.head(String::new(), probe.span, probe.body.span, comments);
            return Doc::Concat(vec![head, self.block(&probe.body, comments)]);
        }
        let mut head = Vec::new();
        let line = if patterns.len() > 1 {
            Doc::HardLine
        } else {
            Doc::Line
        };
        for (position, pattern) in patterns.iter().enumerate() {
            let start = if position == 0 { name.as_str() } else { "" };
            let comma = if position + 1 < patterns.len() {
                ","
            } else {
                ""
            };
            head.push(Doc::text(format!("{start}{pattern}{comma}")));
            if !comma.is_empty() {
                head.push(Doc::HardLine);
            }
        }
        if let Some(predicate) = &probe.predicate {
            head.push(line.clone());
            let predicate = self.expr(predicate, comments);
            head.push(Doc::group(vec![
                Doc::text("/"),
                Doc::indent(vec![predicate]),
                Doc::text("/"),
            ]));
        }
        head.push(line);
        head.push(Doc::text("{"));
        Doc::Concat(vec![
            Doc::group(head),
            self.block_behind_brace(&probe.body, comments),
        ])
    }
}

fn has_block(item: &Item) -> bool {
    !matches!(item, Item::Import(_) | Item::MapDecl(_))
}
