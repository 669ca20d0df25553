mod differential;
mod generate;
mod interpret;
mod kernel;
mod limits;
mod passes;
