import { handle } from "hono/aws-lambda";
import { app } from "./app.ts";

/** For API Gateway, and for function URLs with the invoke mode `BUFFERED`. */
export const handler = handle(app);
