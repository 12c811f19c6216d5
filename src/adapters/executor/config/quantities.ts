import { z } from "zod";

export const bytes = z.int().positive();
export const ms = z.int().positive();
