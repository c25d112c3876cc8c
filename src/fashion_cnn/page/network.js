import { start } from "./shell.js";
import words from "./words/network.js";

start("network", words);
