//! The top level: C part, config and imports, then probes, macros, functions and map declarations.

use super::Parser;
use crate::ast::{
    CDefs, Config, ConfigEntry, ConfigValue, Function, FunctionParam, Import, Item, Macro,
    MacroParam, MacroParamKind, MapDecl, Script, StrLit,
};
use crate::diagnostic::Diagnostic;
use crate::lexer::string::unescape;
use crate::span::Span;
use crate::token::{Keyword, Mark, TokenKind};

/// The three parts of a script, in the order in which they must come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Part {
    C,
    Preamble,
    Body,
}

impl Part {
    fn of(kind: TokenKind) -> Part {
        match kind {
            TokenKind::Directive
            | TokenKind::Keyword(Keyword::Struct | Keyword::Union | Keyword::Enum) => Part::C,
            TokenKind::Keyword(Keyword::Config | Keyword::Import) => Part::Preamble,
            _ => Part::Body,
        }
    }
}

impl Parser<'_> {
    /// Reads everything.
    pub(super) fn script(&mut self) -> Script {
        let mut script = Script::default();
        if self.kind() == TokenKind::Shebang {
            script.shebang = Some(self.bump().span);
        }
        let mut furthest = Part::C;
        let mut came_before: Option<Span> = None;
        while self.kind() != TokenKind::End {
            let token = self.token();
            let part = if self.at_typedef() {
                Part::C
            } else {
                Part::of(token.kind)
            };
            if part > furthest {
                furthest = part;
                came_before = Some(token.span);
            } else if part < furthest {
                self.out_of_order(part, came_before);
            }
            self.item(&mut script, part);
        }
        self.close_conditionals();
        if let (Some(repeated), Some(first)) = (second_config(&script), script.config()) {
            let note = first.span;
            self.report(
                Diagnostic::error(
                    "second-config",
                    repeated,
                    "there is more than one config block",
                )
                .also(note, "the first is here")
                .help("put all settings into one block"),
            );
        }
        script.expr_count = self.first_expr_id + self.heights.len() as u32;
        script
    }

    fn out_of_order(&mut self, part: Part, came_before: Option<Span>) {
        let token = self.token();
        let what = match (part, token.kind) {
            (Part::C, TokenKind::Directive) => "preprocessor lines",
            (Part::C, _) => "C definitions",
            (_, TokenKind::Keyword(Keyword::Import)) => "imports",
            _ => "the config block",
        };
        let mut diagnostic = Diagnostic::error(
            "out-of-order",
            token.span,
            format!("{what} must stand further up"),
        )
        .note("a script has C definitions first, then config and imports, then probes and macros");
        if let Some(span) = came_before {
            diagnostic = diagnostic.also(span, "must come after it");
        }
        self.report(diagnostic);
    }

    fn item(&mut self, script: &mut Script, part: Part) {
        let token = self.token();
        if part == Part::C {
            self.c_item(&mut script.c);
            extend_c_span(&mut script.c, token.span.to(self.previous_span()));
            return;
        }
        let item = match token.kind {
            TokenKind::Keyword(Keyword::Config) => self.config(),
            TokenKind::Keyword(Keyword::Import) => Item::Import(self.import()),
            TokenKind::Keyword(Keyword::Let) => self.map_decl(),
            TokenKind::Keyword(Keyword::Macro) => self.macro_definition(),
            TokenKind::Keyword(Keyword::Fn) => self.function(),
            TokenKind::Mark(Mark::LeftBrace) => self.block_without_probe(),
            TokenKind::Mark(Mark::RightBrace) => self.stray_brace(),
            TokenKind::Mark(Mark::Semicolon) => {
                self.bump();
                return;
            }
            _ => self.probe(),
        };
        script.items.push(item);
    }

    fn block_without_probe(&mut self) -> Item {
        let span = self.token().span;
        self.report_here(
            Diagnostic::error("no-probe", span, "this block belongs to no probe")
                .help("write what it waits for in front, such as `begin` or `interval:1s`"),
        );
        let block = self.block();
        Item::Error(block.span)
    }

    fn stray_brace(&mut self) -> Item {
        let span = self.token().span;
        self.report_here(Diagnostic::error(
            "stray-brace",
            span,
            "this `}` closes nothing",
        ));
        self.bump();
        Item::Error(span)
    }

    fn config(&mut self) -> Item {
        let start = self.bump().span;
        self.expect(Mark::Assign, "behind `config`");
        if !self.expect(Mark::LeftBrace, "to start the config block") {
            return Item::Error(self.skip_item());
        }
        let mut entries = Vec::new();
        while !self.at_mark(Mark::RightBrace) && self.kind() != TokenKind::End {
            if self.eat(Mark::Semicolon) {
                continue;
            }
            let before = self.at;
            let key = self.expect_name("the name of a setting");
            self.expect(Mark::Assign, "behind the name of a setting");
            let value_span = self.token().span;
            let value = self.config_value();
            if self.at == before {
                self.bump();
            }
            entries.push(ConfigEntry {
                key,
                value,
                value_span,
            });
            if !self.at_mark(Mark::RightBrace) && !self.expect(Mark::Semicolon, "behind a setting")
            {
                self.skip_statement();
            }
        }
        self.expect(Mark::RightBrace, "to end the config block");
        Item::Config(Config {
            entries,
            span: self.span_since(start),
        })
    }

    fn config_value(&mut self) -> ConfigValue {
        let token = self.token();
        let value = match token.kind {
            TokenKind::Int(literal) => ConfigValue::Int(literal.value),
            TokenKind::Str => ConfigValue::Str(self.string_value(token.span)),
            TokenKind::Keyword(Keyword::True) => ConfigValue::Bool(true),
            TokenKind::Keyword(Keyword::False) => ConfigValue::Bool(false),
            TokenKind::Ident | TokenKind::Keyword(_) => {
                ConfigValue::Word(self.text(token.span).to_owned())
            }
            _ => {
                self.unexpected("a value: a word, a number, a string, `true` or `false`");
                return ConfigValue::Error;
            }
        };
        self.bump();
        value
    }

    /// The bytes of the string literal at `span`, quotes included.
    pub(super) fn string_value(&self, span: Span) -> StrLit {
        let text = self.text(span);
        let inner = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or("");
        StrLit {
            bytes: unescape(inner).bytes,
        }
    }

    /// `import "path";` at the top level or in a block.
    pub(super) fn import(&mut self) -> Import {
        let start = self.bump().span;
        let path_span = self.token().span;
        let mut path = StrLit::default();
        if self.kind() == TokenKind::Str {
            self.bump();
            path = self.string_value(path_span);
        } else {
            self.unexpected("a path in quotes behind `import`");
        }
        let span = self.span_since(start);
        if !self.eat(Mark::Semicolon) {
            self.missing_semicolon(span);
        }
        Import {
            path,
            path_span,
            span,
        }
    }

    fn map_decl(&mut self) -> Item {
        let start = self.bump().span;
        if self.kind() == TokenKind::Variable {
            let span = self.token().span;
            self.report_here(
                Diagnostic::error(
                    "global-variable",
                    span,
                    "scratch variables live inside blocks only",
                )
                .help("use a map, such as `@x`, for what all probes share"),
            );
        }
        if self.kind() != TokenKind::Map {
            self.unexpected("a map behind `let`");
            self.skip_item();
            return Item::Error(self.span_since(start));
        }
        let token = self.bump();
        let map = self.name_of(token);
        self.expect(Mark::Assign, "behind the map");
        let kind = self.expect_name("the kind of the map");
        let args = if self.at_mark(Mark::LeftParen) {
            self.arguments()
        } else {
            self.unexpected("`(` and the map's size");
            Vec::new()
        };
        let span = self.span_since(start);
        if !self.eat(Mark::Semicolon) {
            self.missing_semicolon(span);
        }
        Item::MapDecl(MapDecl {
            map,
            kind,
            args,
            span,
        })
    }

    fn macro_definition(&mut self) -> Item {
        let start = self.bump().span;
        let name = self.expect_name("the name of the macro");
        let mut params = Vec::new();
        if self.expect(Mark::LeftParen, "behind the macro's name") {
            while !self.at_mark(Mark::RightParen) && self.kind() != TokenKind::End {
                let Some(param) = self.macro_param() else {
                    break;
                };
                params.push(param);
                if !self.eat(Mark::Comma) {
                    break;
                }
            }
            self.expect(Mark::RightParen, "behind the macro's parameters");
        }
        let Some(body) = self.item_block("of the macro") else {
            return Item::Error(self.span_since(start));
        };
        Item::Macro(Macro {
            name,
            params,
            body,
            span: self.span_since(start),
        })
    }

    fn macro_param(&mut self) -> Option<MacroParam> {
        let kind = match self.kind() {
            TokenKind::Variable => MacroParamKind::Variable,
            TokenKind::Map => MacroParamKind::Map,
            TokenKind::Ident => MacroParamKind::Expr,
            _ => {
                self.unexpected("a parameter: `$variable`, `@map` or a name");
                return None;
            }
        };
        let token = self.bump();
        Some(MacroParam {
            kind,
            name: self.name_of(token),
        })
    }

    fn function(&mut self) -> Item {
        let start = self.bump().span;
        let name = self.expect_name("the name of the function");
        let mut params = Vec::new();
        if self.expect(Mark::LeftParen, "behind the function's name") {
            while self.kind() == TokenKind::Variable {
                let token = self.bump();
                let name = self.name_of(token);
                self.expect(Mark::Colon, "and a type behind the parameter");
                params.push(FunctionParam {
                    name,
                    ty: self.type_expr(),
                });
                if !self.eat(Mark::Comma) {
                    break;
                }
            }
            self.expect(Mark::RightParen, "behind the function's parameters");
        }
        let result = if self.eat(Mark::Colon) {
            Some(self.type_expr())
        } else {
            None
        };
        let Some(body) = self.item_block("of the function") else {
            return Item::Error(self.span_since(start));
        };
        Item::Function(Function {
            name,
            params,
            result,
            body,
            span: self.span_since(start),
        })
    }

    /// The block of a macro, function or probe; skips what stands before it.
    pub(super) fn item_block(&mut self, whose: &str) -> Option<crate::ast::Block> {
        if !self.at_mark(Mark::LeftBrace) {
            self.unexpected(&format!("`{{` and the block {whose}"));
            let line_start = |parser: &mut Self| parser.token().first_on_line;
            while !matches!(
                self.kind(),
                TokenKind::End | TokenKind::Mark(Mark::LeftBrace | Mark::Semicolon)
            ) && !line_start(self)
            {
                self.bump();
            }
            self.eat(Mark::Semicolon);
        }
        self.at_mark(Mark::LeftBrace).then(|| self.block())
    }
}

fn second_config(script: &Script) -> Option<Span> {
    let mut configs = script.items.iter().filter_map(|item| match item {
        Item::Config(config) => Some(config.span),
        _ => None,
    });
    configs.nth(1)
}

fn extend_c_span(c: &mut CDefs, span: Span) {
    c.span = Some(c.span.map_or(span, |all| all.to(span)));
}
