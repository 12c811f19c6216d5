import { statSync } from "node:fs";

for (;;) statSync("/");
