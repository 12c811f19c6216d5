// A stack machine in a switch loop: its program, in its own bytecode, sums the lengths of the Collatz sequences that begin below n.
#include "kernel.h"

enum op { PUSH, LOAD, STORE, ADD, MUL, SHR, AND, LESS, EQ, JUMP, JUMP_IF_ZERO, HALT };

enum variable { START, VALUE, SUM, LIMIT, VARIABLES };

struct instruction {
  uint8_t op;
  uint8_t operand;
};

static const struct instruction program[] = {
    /*  0 */ {PUSH, 1},     {STORE, START},
    /*  2 */ {LOAD, START}, {LOAD, LIMIT}, {LESS, 0},         {JUMP_IF_ZERO, 36},
    /*  6 */ {LOAD, START}, {STORE, VALUE},
    /*  8 */ {LOAD, VALUE}, {PUSH, 1},     {EQ, 0},           {JUMP_IF_ZERO, 17},
    /* 12 */ {LOAD, START}, {PUSH, 1},     {ADD, 0},          {STORE, START},      {JUMP, 2},
    /* 17 */ {LOAD, SUM},   {PUSH, 1},     {ADD, 0},          {STORE, SUM},
    /* 21 */ {LOAD, VALUE}, {PUSH, 1},     {AND, 0},          {JUMP_IF_ZERO, 31},
    /* 25 */ {LOAD, VALUE}, {PUSH, 3},     {MUL, 0},          {PUSH, 1},           {ADD, 0},       {JUMP, 34},
    /* 31 */ {LOAD, VALUE}, {PUSH, 1},     {SHR, 0},
    /* 34 */ {STORE, VALUE}, {JUMP, 8},
    /* 36 */ {LOAD, SUM},   {HALT, 0},
};

static uint32_t interpret(const struct instruction *code, uint32_t limit) {
  uint32_t variables[VARIABLES] = {[LIMIT] = limit};
  uint32_t stack[64];
  uint32_t *top = stack;
  for (uint32_t at = 0;;) {
    struct instruction next = code[at++];
    switch (next.op) {
      case PUSH: *++top = next.operand; break;
      case LOAD: *++top = variables[next.operand]; break;
      case STORE: variables[next.operand] = *top--; break;
      case ADD: top--, top[0] += top[1]; break;
      case MUL: top--, top[0] *= top[1]; break;
      case SHR: top--, top[0] >>= top[1]; break;
      case AND: top--, top[0] &= top[1]; break;
      case LESS: top--, top[0] = top[0] < top[1]; break;
      case EQ: top--, top[0] = top[0] == top[1]; break;
      case JUMP: at = next.operand; break;
      case JUMP_IF_ZERO:
        if (*top-- == 0) at = next.operand;
        break;
      case HALT: return *top;
    }
  }
}

EXPORT int32_t run(int32_t n) { return (int32_t)interpret(program, (uint32_t)n); }
